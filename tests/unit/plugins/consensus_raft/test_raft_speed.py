"""How fast the machine is alone: figures are printed, only gross regressions fail."""

from time import perf_counter
from typing import Any

import pytest
from raft_harness import Pool

from mpreg_core import Decided, Emit, Persist, Proposal, Send


@pytest.mark.bench
@pytest.mark.parametrize("batch", [1, 16, 128])
def test_decisions_a_second_in_memory(batch: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Three machines in one process, messages as objects, disks that are done at once."""
    pool = Pool(3, seed=1)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    pool.run(1)
    leader, now_ns = pool.leader(), pool.now_ns
    machines = {name: process.machine for name, process in pool.processes.items()}
    work: list[tuple[str, str, Any]] = []
    messages = done = 0

    def carry_out(name: str, effects: Any) -> None:
        nonlocal messages, done
        for number, effect in enumerate(effects):
            if isinstance(effect, Send):
                messages += len(effect.to)
                work.extend((to, name, effect.message) for to in effect.to)
            elif isinstance(effect, Persist):
                carry_out(name, effects[number + 1 :])
                carry_out(name, machines[name].on_persisted(now_ns, effect.token))
                return
            elif isinstance(effect, Emit) and name == leader:
                done += isinstance(effect.event, Decided)

    count = 128 * (8 if batch == 1 else 80)
    proposals = [Proposal(f"p{number}", f"k{number % 100}", b"x" * 128, leader, 0, 10**10) for number in range(count)]
    started = perf_counter()
    for first in range(0, count, batch):
        for proposal in proposals[first : first + batch]:
            carry_out(leader, machines[leader].on_proposal(now_ns, proposal))
        while work or done < first + batch:
            now_ns += 1
            carry_out(leader, machines[leader].on_deadline(now_ns))
            now, work = work, []
            for to, sender, message in now:
                carry_out(to, machines[to].on_message(now_ns, sender, message))
    seconds = perf_counter() - started
    assert done == count
    with capsys.disabled():
        print(f"\nraft, batches of {batch}: {count / seconds:,.0f} decisions/s, {messages / seconds:,.0f} messages/s")
    assert count / seconds > 1_000
