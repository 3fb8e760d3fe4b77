"""One process of PySyncObj that does the work it reads from its standard input: a JSON order a line."""

import asyncio
import json
import sys
from functools import partial
from typing import Any

from pysyncobj import SyncObj, SyncObjConf, replicated

from three_nodes.load import run


class Store(SyncObj):  # type: ignore[misc]
    """A dictionary."""

    def __init__(self, own: str, others: list[str], journal: str) -> None:
        conf = SyncObjConf(journalFile=journal, appendEntriesUseBatch=False, dynamicMembershipChange=False)
        super().__init__(own, others, conf)
        self.held: dict[str, str] = {}

    @replicated  # type: ignore[misc]
    def put(self, key: str, value: str) -> None:
        """Write a key."""
        self.held[key] = value


async def main(journal: str, own: str, *others: str) -> None:
    """Until the end of the input."""
    store = Store(own, list(others), journal)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)

    def put(key: str, value: str) -> asyncio.Future[None]:
        done: asyncio.Future[None] = loop.create_future()
        store.put(key, value, callback=lambda result, error: loop.call_soon_threadsafe(done.set_result, None))
        return done

    def put_numbered(order: dict[str, Any], number: int) -> asyncio.Future[None]:
        return put(f"k{number % order['keys']}", order["value"])

    async for line in orders:
        order: dict[str, Any] = json.loads(line)
        if order["kind"] == "leads":
            answer: dict[str, Any] = {"leads": store._isLeader()}
        else:
            load = await run(partial(put_numbered, order), order["in_flight"], order["seconds"])
            answer = load.to_dict()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
