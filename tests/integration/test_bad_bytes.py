"""Bytes that no honest peer sends, on every port of a running node: dropped and counted, while it goes on as before."""

import random
import re
import socket
import struct
from pathlib import Path

import msgspec
import pytest

from mpreg_core.limits import FRAME_BYTES_MAX, HTTP_BODY_BYTES_MAX
from mpreg_core.wire.codec import encode_frame
from mpreg_core.wire.envelope import CONTROL_CHANNEL, channel_id

pytestmark = pytest.mark.integration

GLOBAL, US = "global-hub-001", "regional-hub-us-east"
PLANES = ("gossip", "membership", "consensus", "routing")
PROTOCOLS = {"gossip": "epidemic", "membership": "swim", "consensus": "quorum", "routing": "graph"}

GARBAGE = random.Random(7).randbytes(400)
NO_MESSAGE = msgspec.msgpack.encode([99, "x", None])
SAMPLE = re.compile(r'mpreg_frames_dropped_total\{plane="(\w+)",reason="(\w+)"\} (\S+)')

ROUNDS = 40
GROWTH_MB_MAX = 24.0  # buffers that are kept for reuse grow by up to 16 MB, then no more, however long it goes on


def frames(plane):
    """What a frame's bytes may be, and under which reason each is counted."""
    pack = msgspec.msgpack.encode
    found = {
        GARBAGE: "bad_envelope",
        b"\xc1": "bad_envelope",
        b"\x94\x01\x00\xa1x" + b"\x91" * 900: "bad_envelope",
        pack([1, 7, "x"]): "bad_envelope",
        pack([9, 7, "x", None]): "wire_version",
        pack([1, 4_000_000_000, "x", None]): "unknown_channel",
        encode_frame(CONTROL_CHANNEL, GLOBAL, NO_MESSAGE): "own_id",
        encode_frame(CONTROL_CHANNEL, "x", NO_MESSAGE): "bad_body",
    }
    if plane != "routing":  # the hub router has no messages
        family = "failure_detector" if plane == "membership" else plane
        channel = channel_id("mpreg", "global", family, PROTOCOLS[plane])
        found[encode_frame(channel, US, NO_MESSAGE)] = "bad_body"
    return found


@pytest.fixture(scope="module")
def hubs(module_tools, tmp_path_factory):
    """A global and a regional hub, together."""
    tools = module_tools
    places = tools.Place(GLOBAL, "global", "us-east"), tools.Place(US, "regional", "us-east", GLOBAL)
    federation = tools.Federation(places)
    folder = tmp_path_factory.mktemp("hubs")
    for node, tier, region, parent in places:
        peers = {parent: tools.peer_of(federation[parent].ports)} if parent else {}
        config = tools.guide_config(
            node, tier, region, parent, network={"listen_host": "127.0.0.1"}, federation={"peers": peers}
        )
        federation.nodes[node] = tools.node(folder, config, ports=tools.free_ports())
    federation.start_all()
    return federation


def by_stream(port, data):
    """Send on a connection of its own and wait for the other side to have dealt with it; gives what it answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        answer = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                answer += chunk
        except TimeoutError:
            pytest.fail(f"port {port} neither answers nor ends the connection")
        except OSError:
            pass  # it was reset, before all was sent or read
        return answer


def by_datagram(port, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, ("127.0.0.1", port))


def framed(data):
    return struct.pack(">I", len(data)) + data


def dropped(node):
    """(plane, reason) -> frames dropped so far."""
    page = node.page("/metrics")
    return {(plane, reason): float(count) for plane, reason, count in SAMPLE.findall(page)}


def check_unharmed(hubs):
    assert not hubs.missing()
    for node in hubs.nodes.values():
        assert node.get("/health")["status"] == "healthy"
        assert "Traceback" not in node.log()
    body = {"service": "mpreg.echo", "payload": 1, "target": GLOBAL}
    status, answer = hubs[US].ask("POST", "/api/requests", body)
    assert (status, answer["payload"]) == (200, 1)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("lane", ["stream", "datagram"])
def test_a_frame_of_no_use_is_dropped_and_counted_with_its_reason(hubs, tools, plane, lane):
    node = hubs[GLOBAL]
    port = node.ports[f"{plane}_port"]
    before = dropped(node)
    expected = {}
    for frame, reason in frames(plane).items():
        expected[reason] = expected.get(reason, 0) + 1
        if lane == "stream":
            by_stream(port, framed(frame))
        else:
            by_datagram(port, frame)

    def counted():
        now = dropped(node)
        return {reason: now.get((plane, reason), 0) - before.get((plane, reason), 0) for reason in expected}

    tools.until(lambda: counted() == expected, 5, lambda: f"expected {expected}, got {counted()}")
    check_unharmed(hubs)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (struct.pack(">I", FRAME_BYTES_MAX + 1) + b"x" * 1000, "oversized"),
        (b"GET / HTTP/1.1\r\nHost: mpreg\r\n\r\n", "oversized"),
        (struct.pack(">I", 0) + b"x" * 1000, "bad_length"),
        (framed(b"x" * 1000)[:500], "truncated"),
        (b"\x00\x00", "truncated"),
    ],
    ids=["oversized", "http", "empty", "truncated", "half a length"],
)
def test_a_stream_that_is_no_row_of_frames_is_ended_and_counted(hubs, tools, plane, sent, reason):
    node = hubs[GLOBAL]
    before = dropped(node).get((plane, reason), 0)
    by_stream(node.ports[f"{plane}_port"], sent)
    tools.until(lambda: dropped(node).get((plane, reason), 0) == before + 1, 5, lambda: f"{dropped(node)}")
    check_unharmed(hubs)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(
    ("sent", "reason"), [(b"", "bad_length"), (b"x" * 60_000, "oversized")], ids=["empty", "large"]
)
def test_a_datagram_of_a_size_that_none_has_is_dropped_and_counted(hubs, tools, plane, sent, reason):
    node = hubs[GLOBAL]
    before = dropped(node).get((plane, reason), 0)
    by_datagram(node.ports[f"{plane}_port"], sent)
    tools.until(lambda: dropped(node).get((plane, reason), 0) == before + 1, 5, lambda: f"{dropped(node)}")
    check_unharmed(hubs)


BODY = b"POST /api/requests HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("port", ["listen_port", "metrics_port"])
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GARBAGE, b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", b"4"),
        (BODY + b"Content-Length: %d\r\n\r\n" % (HTTP_BODY_BYTES_MAX + 1) + b"x" * (HTTP_BODY_BYTES_MAX + 1), b"4"),
        (BODY + b"Content-Length: 400\r\n\r\n{", b""),
        (BODY + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b""),
        (framed(GARBAGE), b"400"),
    ],
    ids=["garbage", "large header", "large body", "half a body", "bad chunk", "frame"],
)
def test_what_is_no_http_is_refused(hubs, port, sent, status):
    node = hubs[GLOBAL]
    answer = by_stream(node.ports[port], sent)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 " + (status or b"4")), answer[:200]
    assert "federation_nodes_total" in node.page("/metrics")
    check_unharmed(hubs)


def resident_mb(node):
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_a_flood_of_all_this_costs_neither_memory_nor_log(hubs, tools):
    node = hubs[GLOBAL]

    def flood():
        for plane in PLANES:
            port = node.ports[f"{plane}_port"]
            for frame in frames(plane):
                by_datagram(port, frame)
            by_stream(port, b"".join(framed(frame) for frame in frames(plane)) * 50)
            by_stream(port, framed(bytes(FRAME_BYTES_MAX - 1)))
            by_stream(port, framed(bytes(FRAME_BYTES_MAX))[: FRAME_BYTES_MAX // 2])
        for port in ("listen_port", "metrics_port"):
            by_stream(node.ports[port], GARBAGE)

    for _ in range(3):
        flood()
    before, lines = resident_mb(node), len(node.log().splitlines())
    for _ in range(ROUNDS):
        flood()
    grown = resident_mb(node) - before
    print(f"{before:.1f} MB resident, {grown:+.1f} MB after {ROUNDS} rounds")
    assert grown < GROWTH_MB_MAX
    assert len(node.log().splitlines()) - lines < 60
    tools.until(lambda: node.get("/health")["status"] == "healthy", 5, "it is healthy")
    check_unharmed(hubs)
