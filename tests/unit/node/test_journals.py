"""What a consensus engine wrote is what the next one of the same pool reads, in one life of the node or in two."""

from mpreg_core.node.actions import WriteRecord

POOL = "local:l-us-1"
AWAY = "local:l-us-2"
MEMBER = "c-us-1-1"


def engine(federation, pool=POOL):
    return federation.world.nodes[MEMBER].core.state.stacks[pool].consensus.machine


def decide(federation, key):
    federation.world.command(
        MEMBER, lambda core: core.decisions.propose(core.new_token(), "pool", key, 1, 5_000_000_000)
    )
    federation.world.run(1)


def in_pool(federation, pool):
    return lambda: pool in federation.world.nodes[MEMBER].core.state.stacks


def test_a_member_that_was_in_another_pool_meanwhile_finds_its_journal_again(federation):
    pools = federation()
    pools.grow(regions=("us",), hubs=2)
    assert pools.world.run_until(pools.complete, 20)
    for number in range(3):
        decide(pools, f"k{number}")
    first = engine(pools)
    assert first.index == 3
    pools.world.crash("l-us-1")
    assert pools.world.run_until(in_pool(pools, AWAY), 60)
    assert engine(pools, AWAY).index == 0
    pools.world.start("l-us-1")
    assert pools.world.run_until(in_pool(pools, POOL), 120)
    assert engine(pools) is not first
    assert engine(pools).index == 3


def test_no_two_writes_of_a_process_share_a_token(federation):
    """An engine counts from 1 again in the next stack: what the last one wrote must not pass for its own."""
    pools = federation()
    pools.grow(regions=("us",), hubs=1)
    assert pools.world.run_until(pools.complete, 20)
    state = pools.world.nodes[MEMBER].core.state
    tokens = [state.write("pool", b"x", checkpoint=False), state.write("other", b"y", checkpoint=True)]
    assert len(set(tokens)) == 2
    written = [action for action in state.actions if isinstance(action, WriteRecord)][-2:]
    assert [action.token for action in written] == tokens


def test_a_checkpoint_replaces_what_is_held(federation):
    pools = federation()
    pools.grow(regions=("us",), hubs=1)
    state = pools.world.nodes[MEMBER].core.state
    for record in (b"a", b"b"):
        state.write("pool", record, checkpoint=False)
    assert state.journal("pool") == (b"a", b"b")
    state.write("pool", b"ab", checkpoint=True)
    state.write("pool", b"c", checkpoint=False)
    assert state.journal("pool") == (b"ab", b"c")
    assert state.journal("another") == ()
