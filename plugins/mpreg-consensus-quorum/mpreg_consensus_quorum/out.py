"""What a step produces, in the order that costs the least: what waits for no disk first, then records with answers."""

from collections import deque
from collections.abc import Iterable

from mpreg_consensus_quorum.ledger import Ledger, checkpoint_due
from mpreg_consensus_quorum.messages import QuorumMessage
from mpreg_consensus_quorum.records import Record, encode
from mpreg_core import Effect, Effects, Emit, Event, Lane, NodeId, Persist, Send

IN_FLIGHT_MAX = 1_000
"""Records on their way to the disk; when it does not keep up, messages and proposals are refused."""

_RECORD_BYTES = 32


class Out:
    """Collects the effects of one step. A message to this node itself does not travel: it waits in `inbox`.

    An answer behind a record leaves when the record is durable; one to this node itself is put into the inbox then.
    """

    def __init__(self, me: NodeId, ledger: Ledger, journal_bytes: int) -> None:
        self.inbox: deque[QuorumMessage] = deque()
        self.journal_bytes = journal_bytes
        self._me = me
        self._ledger = ledger
        self._checkpoint_bytes = 0
        self._at_once: list[Effect] = []
        self._when_durable: list[Effect] = []
        self._in_flight: dict[int, QuorumMessage | None] = {}
        self._token = 0

    @property
    def is_stalled(self) -> bool:
        """True if the disk does not keep up, or failed."""
        return len(self._in_flight) >= IN_FLIGHT_MAX

    def send(self, to: Iterable[NodeId], message: QuorumMessage) -> None:
        """Send to each; to this node itself too."""
        others = tuple(node for node in to if node != self._me)
        if others:
            self._at_once.append(Send(others, message, "stream"))

    def to_self(self, message: QuorumMessage) -> None:
        """Let this node handle a message of its own in this step."""
        self.inbox.append(message)

    def answer(self, to: NodeId, message: QuorumMessage, lane: Lane = "stream") -> None:
        """Answer one node, perhaps this one, without a record."""
        if to == self._me:
            self.inbox.append(message)
        else:
            self._at_once.append(Send((to,), message, lane))

    def emit(self, event: Event) -> None:
        """State a fact."""
        self._at_once.append(Emit(event))

    def persist(self, record: Record, to: NodeId = "", answer: QuorumMessage | None = None) -> int:
        """Make a record that was applied to the ledger durable, then answer. Gives the token."""
        data = encode(record)
        token = self._append(data, answer if to == self._me else None)
        self.journal_bytes += len(data) + _RECORD_BYTES
        if answer is not None and to != self._me:
            self._when_durable.append(Send((to,), answer, "stream"))
        return token

    def start_over(self) -> None:
        """The journal is to hold what the ledger holds, and nothing else."""
        data = encode(self._ledger.checkpoint())
        self._append(data, None, checkpoint=True)
        self._checkpoint_bytes, self.journal_bytes = len(data), 0

    def durable(self, token: int) -> None:
        """A record is durable: this node's own answer may be counted."""
        answer = self._in_flight.pop(token, None)
        if answer is not None:
            self.inbox.append(answer)

    def take(self) -> Effects:
        """The step's effects, with a checkpoint last when one is due."""
        if checkpoint_due(self.journal_bytes, self._checkpoint_bytes):
            data = encode(self._ledger.checkpoint())
            self._append(data, None, checkpoint=True)
            self._checkpoint_bytes, self.journal_bytes = len(data), 0
        effects = [*self._at_once, *self._when_durable]
        self._at_once.clear()
        self._when_durable.clear()
        return effects

    def _append(self, data: bytes, own_answer: QuorumMessage | None, *, checkpoint: bool = False) -> int:
        self._token += 1
        self._in_flight[self._token] = own_answer
        self._when_durable.append(Persist(self._token, data, checkpoint))
        return self._token
