"""Which address of a name is connected to, and which error is told when none is."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from mpreg_core.sockets.addresses import Address
from mpreg_core.sockets.dialing import alternate, connect, race

V4, V6 = socket.AF_INET, socket.AF_INET6


@contextmanager
def listening(host: str, *, full: bool = False) -> Iterator[Address]:
    """A listener; one that is `full` answers no further attempt."""
    with socket.socket() as listener, socket.socket() as filler:
        listener.bind((host, 0))
        listener.listen(0)
        if full:
            filler.connect(listener.getsockname())
        yield Address(V4, listener.getsockname())


def nobody(host: str) -> Address:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return Address(V4, probe.getsockname())


def test_the_families_take_turns() -> None:
    def address(family: int, number: int) -> Address:
        return Address(family, (str(number), 1))

    found = [address(V6, 1), address(V6, 2), address(V6, 3), address(V4, 4)]
    assert alternate(found) == [address(V6, 1), address(V4, 4), address(V6, 2), address(V6, 3)]
    assert alternate(found[:2]) == found[:2]
    assert alternate([address(V4, 4), address(V6, 1), address(V6, 2)]) == [
        address(V4, 4),
        address(V6, 1),
        address(V6, 2),
    ]


@pytest.mark.anyio
async def test_an_address_that_does_not_answer_costs_one_head_start() -> None:
    with listening("127.0.0.2", full=True) as silent, listening("127.0.0.1") as good:
        with anyio.fail_after(5):
            connected = await race([silent, good])
        with connected:
            assert connected.getpeername() == good.address


@pytest.mark.anyio
async def test_an_address_that_refuses_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpreg_core.sockets.dialing.HEAD_START_S", 60)
    with listening("127.0.0.1") as good, anyio.fail_after(5), await race([nobody("127.0.0.2"), good]) as connected:
        assert connected.getpeername() == good.address


@pytest.mark.anyio
async def test_a_refusal_says_more_than_a_missing_route() -> None:
    no_route = Address(V4, ("255.255.255.255", 9))
    with pytest.raises(OSError, match=r".") as caught:
        await race([no_route, nobody("127.0.0.1"), no_route])
    assert caught.value.errno == errno.ECONNREFUSED


@pytest.mark.anyio
async def test_a_socket_joined_to_itself_counts_as_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may pick the very port that is called, where nobody listens, for the caller's side."""
    unlucky = nobody("127.0.0.1")

    class Sockets:
        def __getattr__(self, name: str) -> object:
            return getattr(socket, name)

        def socket(self, family: int, kind: int) -> socket.socket:
            made = socket.socket(family, kind)
            made.bind(unlucky.address)
            return made

    monkeypatch.setattr("mpreg_core.sockets.dialing.socket", Sockets())
    with pytest.raises(ConnectionRefusedError):
        await connect(unlucky)
