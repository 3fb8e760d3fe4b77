"""What a handled item costs; figures are printed, only gross regressions fail."""

from time import process_time

import pytest

from mpreg_gossip_epidemic.messages import Carried, Digest, News

COUNT = 5000


@pytest.mark.bench
def test_microseconds_an_item(machine, member, strategy, item, capsys):
    def fresh():
        m = machine(strategy, member("me"))
        m.on_members(0, [member(f"n{i}", f"r{i % 3}") for i in range(1000)])
        return m

    def us_each(m, messages, items):
        begun = process_time()
        for i, message in enumerate(messages):
            m.on_message(i * 10_000_000, "n1", message)
        return (process_time() - begun) * 1e6 / items

    items = [Carried(item(f"key/{i}", size=100), 1) for i in range(COUNT)]
    single = [News((carried,)) for carried in items]
    packed = [News(tuple(items[i : i + 8])) for i in range(0, COUNT, 8)]
    m = fresh()
    figures = {
        "news": us_each(m, single, COUNT),
        "duplicate": us_each(m, single, COUNT),
        "news, 8 in a packet": us_each(fresh(), packed, COUNT),
        "equal digest": us_each(fresh(), [Digest(0)] * COUNT, COUNT),
    }
    with capsys.disabled():
        print(f"\n{strategy}: " + ", ".join(f"{name} {us:.1f} us" for name, us in figures.items()))
    assert figures["news"] < 200
    assert figures["duplicate"] < 20
