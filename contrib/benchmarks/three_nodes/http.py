"""HTTP/1.1 with connections that stay open, as thin as a client can be: it shares the machine with what it measures."""

import asyncio
import json
from typing import Any


class Client:
    """Connections to one server; each carries one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON body of an answer. Raises `OSError` when the server is gone."""
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        done = False
        try:
            content = b"" if body is None else json.dumps(body).encode()
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            status, content = await self._answer(reader)
            done = True
            return status, json.loads(content or b"null")
        except (asyncio.IncompleteReadError, ValueError) as error:
            raise ConnectionResetError(str(error)) from error
        finally:
            if done:
                self._idle.append((reader, writer))
            else:
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        if b"transfer-encoding: chunked" in head:
            content = b""
            while size := int(await reader.readline(), 16):
                content += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
            return status, content
        size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        return status, await reader.readexactly(size)

    def close(self) -> None:
        """End the connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
