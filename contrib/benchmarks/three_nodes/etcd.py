"""Three etcd servers, asked over gRPC and over the HTTP gateway."""

import asyncio
import base64
import itertools
from typing import Any

from three_nodes.http import Client
from three_nodes.load import Load, run
from three_nodes.trio import KEYS, VALUE, Trio, Unavailable, free_ports, program

START_S = 30


def _field(number: int, content: bytes) -> bytes:
    """A bytes field of a protocol buffer; both numbers are below 128 here, or the length has two bytes."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content


class Etcd(Trio):
    """etcd with its defaults: heartbeats of 100 ms, elections after 1 s."""

    name = "etcd"

    async def start(self) -> None:
        """Three servers of one cluster."""
        etcd = program("etcd", "apt-get install etcd-server")
        try:
            import grpc.aio
        except ImportError:
            raise Unavailable("grpcio is not installed: pip install grpcio") from None
        self._ports, peers = free_ports(3), free_ports(3)
        cluster = ",".join(f"n{each}=http://127.0.0.1:{peers[each]}" for each in range(3))
        for each in range(3):
            url, peer = f"http://127.0.0.1:{self._ports[each]}", f"http://127.0.0.1:{peers[each]}"
            await self.spawn(
                etcd, "--name", f"n{each}", "--data-dir", str(self.folder / f"n{each}"), "--log-outputs", "stderr",
                "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, "--logger", "zap",
            )  # fmt: skip
        self._http = [Client(port) for port in self._ports]
        async with asyncio.timeout(START_S):
            while not await self._try(0):
                await asyncio.sleep(0.1)
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self._ports[await self.leader()]}")
        self._put: Any = self._channel.unary_unary("/etcdserverpb.KV/Put")
        self._range: Any = self._channel.unary_unary("/etcdserverpb.KV/Range")

    async def embedded(self, kind: str, in_flight: int, seconds: float) -> Load:
        """A Python program uses gRPC."""

        async def operation(number: int) -> None:
            key = _field(1, b"k%d" % (number % KEYS))
            await (self._put(key + _field(2, VALUE.encode())) if kind == "write" else self._range(key))

        return await run(operation, in_flight, seconds)

    async def by_http(self, kind: str, in_flight: int, seconds: float) -> Load:
        """The gateway's JSON, where keys and values are base64."""
        client = self._http[await self.leader()]

        async def operation(number: int) -> None:
            key = base64.b64encode(b"k%d" % (number % KEYS)).decode()
            body = {"key": key} | ({"value": base64.b64encode(VALUE.encode()).decode()} if kind == "write" else {})
            status, _ = await client.ask("POST", f"/v3/kv/{'put' if kind == 'write' else 'range'}", body)
            assert status == 200, status

        return await run(operation, in_flight, seconds)

    async def leader(self) -> int:
        """By the ids that the servers tell."""
        own = []
        for client in self._http:
            _, answer = await client.ask("POST", "/v3/maintenance/status", {})
            own.append((answer["header"]["member_id"], answer["leader"]))
        return next(each for each in range(3) if own[each][0] == own[each][1])

    _numbers = itertools.count()

    async def write_once(self, at: int) -> bool:
        """A put."""
        body = {"key": "a2V5", "value": base64.b64encode(b"%d" % next(self._numbers)).decode()}
        status, _ = await self._http[at].ask("POST", "/v3/kv/put", body)
        return status == 200

    async def stop(self) -> None:
        """Clients first."""
        if hasattr(self, "_channel"):
            await self._channel.close()
            for client in self._http:
                client.close()
        await super().stop()
