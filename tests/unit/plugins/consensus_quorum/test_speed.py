"""How fast the machine is alone: figures are printed, only gross regressions fail."""

from time import perf_counter
from typing import Any

import pytest

from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_core import Emit, Persist, Proposal, Send


@pytest.mark.bench
@pytest.mark.parametrize("size", [5, 7])
def test_decisions_a_second_in_memory(make_pool: Any, size: int, capsys: pytest.CaptureFixture[str]) -> None:
    """All machines in one process, messages as objects, disks that are done at once."""
    pool = make_pool(size, options=QuorumOptions(max_proposals=1_000))
    pool.run(1)
    machines = {name: process.machine for name, process in pool.nodes.items()}
    count, messages, done = 500, 0, 0
    work: list[tuple[str, Any]] = []

    def carry_out(name: str, effects: Any) -> None:
        nonlocal messages, done
        for number, effect in enumerate(effects):
            if isinstance(effect, Send):
                messages += len(effect.to)
                work.extend((to, (name, effect.message)) for to in effect.to)
            elif isinstance(effect, Persist):
                carry_out(name, effects[number + 1 :])
                carry_out(name, machines[name].on_persisted(pool.now_ns, effect.token))
                return
            elif isinstance(effect, Emit) and name == "n0":
                done += 1

    started = perf_counter()
    for number in range(count):
        proposal = Proposal(f"p{number}", f"k{number % 10}", b"x" * 128, "n0", 0, 10**10)
        carry_out("n0", machines["n0"].on_proposal(pool.now_ns, proposal))
        while work:
            batch, work = work, []
            for to, (sender, message) in batch:
                carry_out(to, machines[to].on_message(pool.now_ns, sender, message))
    seconds = perf_counter() - started
    assert done == count
    with capsys.disabled():
        print(f"\nquorum, {size} voters: {count / seconds:,.0f} decisions/s, {messages / seconds:,.0f} messages/s")
    assert count / seconds > 200
