"""Services restart, handlers answer or fail with a code, feeds are bounded."""

import anyio
import pytest

from mpreg_core.embed.streams import Broadcast, Feed
from mpreg_core.errors import InvalidInputError
from mpreg_core.limits import EVENT_QUEUE_MAX, REQUEST_BYTES_MAX
from mpreg_core.node.actions import Invoke
from mpreg_core.node.topics import matches
from mpreg_core.runtime import clock, supervisor
from mpreg_core.runtime.handlers import Handlers
from mpreg_core.wire.payload import encode_payload

pytestmark = pytest.mark.anyio


async def outcome(handler, payload=b'{"a": 1}', left_ns=1_000_000_000):
    told, done = [], anyio.Event()

    def handled(*outcome):
        told.append(outcome)
        done.set()

    async with anyio.create_task_group() as tasks:
        handlers = Handlers(tasks, handled, lambda *checked: None)
        tasks.start_soon(handlers.run)
        handlers.add("s", handler)
        handlers.start(Invoke("call", "s", payload, ("caller", "me"), clock.now_ns() + left_ns))
        with anyio.fail_after(5):
            await done.wait()
        tasks.cancel_scope.cancel()
    assert len(told) == 1
    return told[0]


async def test_a_handler_gets_the_payload_and_its_answer_is_json():
    async def handler(request):
        return {"got": request.payload, "from": request.caller}

    assert await outcome(handler) == ("call", "", b'{"got":{"a":1},"from":"caller"}', "")


async def test_a_handler_that_raises_fails_with_its_error():
    async def handler(request):
        raise ZeroDivisionError("by zero")

    assert await outcome(handler) == ("call", "handler_failed", b"", "ZeroDivisionError: by zero")


async def test_an_error_of_ours_keeps_its_code():
    async def handler(request):
        raise InvalidInputError("no such order")

    assert await outcome(handler) == ("call", "invalid", b"", "no such order")


async def test_a_handler_that_hangs_is_cut_at_the_deadline():
    async def handler(request):
        await anyio.sleep_forever()

    code = (await outcome(handler, left_ns=20_000_000))[1]
    assert code == "timeout"


async def test_an_answer_over_the_limit_is_an_error():
    async def handler(request):
        return "x" * REQUEST_BYTES_MAX

    assert (await outcome(handler))[1] == "payload_too_large"


async def test_a_service_nobody_serves_is_not_found():
    told = []
    async with anyio.create_task_group() as tasks:
        Handlers(tasks, lambda *outcome: told.append(outcome), lambda *checked: None).start(
            Invoke("call", "none", b"", ("a",), 0)
        )
    assert told[0][1] == "not_found"


def test_bytes_that_are_no_text_still_travel():
    assert encode_payload(b"\xff") == '"\ufffd"'.encode()


async def test_a_service_that_fails_is_restarted_and_one_that_never_starts_stops_the_node(monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.001)
    runs = []
    third = anyio.Event()

    async def service(status):
        runs.append(1)
        status.started({})
        if len(runs) == 3:
            third.set()
            await anyio.sleep_forever()
        raise OSError("lost")

    async with anyio.create_task_group() as tasks:
        await tasks.start(supervisor.supervise, "s", service)
        await third.wait()
        tasks.cancel_scope.cancel()
    assert len(runs) == 3

    async def broken(status):
        raise OSError("port in use")

    with pytest.raises(BaseExceptionGroup) as caught:
        async with anyio.create_task_group() as tasks:
            await tasks.start(supervisor.supervise, "s", broken)
    assert caught.group_contains(OSError, match="port in use")


async def test_a_slow_listener_loses_the_oldest_and_the_count_says_so():
    feed: Feed[int] = Feed()
    for number in range(EVENT_QUEUE_MAX + 5):
        feed.put(number)
    assert feed.dropped == 5
    assert await anext(feed) == 5


async def test_listeners_get_what_comes_while_they_listen():
    broadcast: Broadcast[int] = Broadcast()
    broadcast.put(1)
    async with broadcast.listen() as feed:
        broadcast.put(2)
        assert await anext(feed) == 2
    broadcast.put(3)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("orders.eu", "orders.eu", True),
        ("orders.eu", "orders.us", False),
        ("user.*.login", "user.7.login", True),
        ("user.*.login", "user.7.8.login", False),
        ("orders.#", "orders.eu.created", True),
        ("orders.#", "orders", True),
        ("orders.#", "order", False),
        ("#", "anything.at.all", True),
        ("*", "one", True),
        ("*", "one.two", False),
    ],
)
def test_patterns_match_words_between_dots(pattern, topic, expected):
    assert matches(pattern, topic) is expected
