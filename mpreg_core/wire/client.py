"""What a client and the node it is connected to say to each other, on `CLIENT_CHANNEL` of the routing plane.

Both ends count: a client's `number` names what it asked, and comes back with the answer. Fields are only ever
appended, with defaults.
"""

from msgspec import Struct

from mpreg_core.ids import NodeId
from mpreg_core.wire.request import ReplyFrame


class ClientHello(Struct, frozen=True, array_like=True, tag=1):
    """The first word of a connection. `token` says who the client is, where the node wants to know."""

    federation: str
    wire: int
    token: str = ""


class Ask(Struct, frozen=True, array_like=True, tag=2):
    """A request; `Answer` follows within `budget_ms`."""

    number: int
    service: str
    payload: bytes
    budget_ms: int
    idempotent: bool = False
    target: str | None = None
    hedge_ms: int = 0


class Offer(Struct, frozen=True, array_like=True, tag=3):
    """The client serves a service from now on, or no longer; `Done` follows."""

    number: int
    service: str
    until_further_notice: bool = True


class Handled(Struct, frozen=True, array_like=True, tag=4):
    """How a `Call` ended: an empty `code` for success, else an error's code."""

    call: str
    code: str
    payload: bytes
    message: str = ""


class Publish(Struct, frozen=True, array_like=True, tag=5):
    """A message for all who subscribed to its topic; `Done` with its id follows, at least once when it is durable."""

    number: int
    topic: str
    payload: bytes
    at_least_once: bool = False


class Subscribe(Struct, frozen=True, array_like=True, tag=6):
    """Send what matches a pattern from now on, or no longer; of a `queue` group one member gets it. `Done` follows."""

    number: int
    pattern: str
    until_further_notice: bool = True
    queue: str = ""


class Ping(Struct, frozen=True, array_like=True, tag=7):
    """Is somebody there? `Pong` follows."""


class ClientWelcome(Struct, frozen=True, array_like=True, tag=8):
    """The node takes the client; with a `code` it does not, and says why."""

    node: NodeId
    code: str = ""
    message: str = ""


class Answer(Struct, frozen=True, array_like=True, tag=9):
    """The outcome of an `Ask`, as `ReplyFrame` has it."""

    number: int
    code: str
    payload: bytes
    where: NodeId
    path: tuple[NodeId, ...]
    message: str = ""
    delivered: bool = False
    retry_after_ms: int = 0


class Call(Struct, frozen=True, array_like=True, tag=10):
    """A request for a service that the client serves; `Handled` is to follow within `budget_ms`."""

    call: str
    service: str
    payload: bytes
    path: tuple[NodeId, ...]
    budget_ms: int


class Delivery(Struct, frozen=True, array_like=True, tag=11):
    """A message that matches one of the client's patterns or several; it comes once."""

    id: str
    topic: str
    payload: bytes
    origin: NodeId


class Done(Struct, frozen=True, array_like=True, tag=12):
    """An `Offer`, `Publish` or `Subscribe` took effect; with a `code` it did not. `id` is the published message's."""

    number: int
    code: str = ""
    message: str = ""
    id: str = ""


class Pong(Struct, frozen=True, array_like=True, tag=13):
    """Somebody is. Sent after a `ClientHello` is missing, too: `known` is False then."""

    known: bool = True


class MoveOn(Struct, frozen=True, array_like=True, tag=14):
    """The node is about to stop: finish what is under way, then connect elsewhere."""


class Forget(Struct, frozen=True, array_like=True, tag=15):
    """By the client: it waits for the answer to a request no longer."""

    number: int


class CallOff(Struct, frozen=True, array_like=True, tag=16):
    """To the client: nobody waits for the outcome of a call any more."""

    call: str


class QueueDelivery(Struct, frozen=True, array_like=True, tag=17):
    """A message for queue groups of the client's; `plain` when it matches a subscription outside of groups, too.

    With `to_acknowledge`, of one group, another member gets it unless the client says `Took` in time.
    """

    message: Delivery
    queues: tuple[str, ...]
    plain: bool
    to_acknowledge: bool = False


class Took(Struct, frozen=True, array_like=True, tag=18):
    """The client is done with a message, by its id, that it had for a queue group."""

    id: str
    queue: str


FROM_CLIENT = (ClientHello, Ask, Offer, Handled, Publish, Subscribe, Ping, Forget, Took)
TO_CLIENT = (ClientWelcome, Answer, Call, Delivery, Done, Pong, MoveOn, CallOff, QueueDelivery)


def answer_of(number: int, reply: ReplyFrame) -> Answer:
    """What a client is told of the reply to its request."""
    return Answer(
        number,
        reply.code,
        reply.payload,
        reply.where,
        reply.path,
        reply.message,
        reply.delivered,
        reply.retry_after_ms,
    )
