"""Handlers side by side: their time, their being called off, and tasks that stay for the next."""

from functools import partial

import anyio
import pytest

from mpreg_core.runtime.calls import Calls
from mpreg_core.runtime.handling import outcome_of
from mpreg_core.runtime.workers import IDLE_MAX

pytestmark = pytest.mark.anyio


class Told(dict):
    """Outcomes by call, and a way to wait for them."""

    def __call__(self, call, code, payload, message):
        assert call not in self
        self[call] = (code, payload)

    async def all(self, count):
        with anyio.fail_after(5):
            while len(self) < count:
                await anyio.sleep(0.002)


def start(calls, told, handler, call, timeout_s=5.0):
    calls.start(call, partial(outcome_of, handler, call, "s", b'"x"', ("caller",)), timeout_s, told)


async def test_a_call_that_takes_too_long_or_is_called_off_ends_alone():
    told, ended = Told(), []
    go_on = anyio.Event()

    async def waits(request):
        try:
            await go_on.wait()
        except BaseException:
            ended.append(request.id)
            raise
        return request.id

    async with anyio.create_task_group() as tasks:
        calls = Calls(tasks)
        tasks.start_soon(calls.run)
        for number in range(20):
            start(calls, told, waits, f"c{number}", timeout_s=0.05 if number == 3 else 5.0)
        assert len(calls) == 20
        await anyio.wait_all_tasks_blocked()
        calls.call_off("c7")
        calls.call_off("nobody")
        await told.all(2)
        assert told == {"c3": ("timeout", b""), "c7": ("timeout", b"")}
        assert sorted(ended) == ["c3", "c7"]
        go_on.set()
        await told.all(20)
        assert len(calls) == 0
        assert told["c0"] == ("", b'"c0"')
        calls.call_off("c0")  # over already: its task must not be harmed
        start(calls, told, waits, "again")
        await told.all(21)
        assert told["again"][0] == ""
        tasks.cancel_scope.cancel()


async def test_a_handler_that_times_out_does_not_cost_those_that_come_after():
    told = Told()

    async def sleeps(request):
        await anyio.sleep_forever()

    async def answers(request):
        return 1

    async with anyio.create_task_group() as tasks:
        calls = Calls(tasks)
        tasks.start_soon(calls.run)
        for number in range(2 * IDLE_MAX):
            start(calls, told, sleeps if number % 2 else answers, f"a{number}", timeout_s=0.02)
        await told.all(2 * IDLE_MAX)
        for number in range(2 * IDLE_MAX):
            start(calls, told, answers, f"b{number}")
        await told.all(4 * IDLE_MAX)
        tasks.cancel_scope.cancel()
    codes = [code for code, _ in told.values()]
    assert codes.count("timeout") == IDLE_MAX


async def test_a_call_that_is_called_off_before_it_began_does_not_begin():
    told, begun = Told(), []

    async def answers(request):
        begun.append(request.id)

    async with anyio.create_task_group() as tasks:
        calls = Calls(tasks)
        start(calls, told, answers, "a")
        start(calls, told, answers, "b")
        calls.call_off("a")
        await told.all(2)
        tasks.cancel_scope.cancel()
    assert begun == ["b"]
    assert told["a"][0] == "timeout"


async def test_nobody_is_told_when_all_ends():
    told, begun = Told(), anyio.Event()

    async def sleeps(request):
        begun.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        calls = Calls(tasks)
        start(calls, told, sleeps, "c")
        await begun.wait()
        tasks.cancel_scope.cancel()
    assert told == {}
