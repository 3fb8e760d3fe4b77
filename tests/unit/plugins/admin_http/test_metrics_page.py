"""The metrics port: one page, fed by the node's events, and the same errors as everywhere."""

import anyio
import httpx2
import pytest

from mpreg_core import RoundTrip

pytestmark = pytest.mark.anyio


async def test_the_page_shows_what_happened_and_nothing_else_is_served(node, service):
    async with service(node) as running, httpx2.AsyncClient(base_url=f"http://{running.metrics}") as client:
        with anyio.fail_after(5):
            while not node.watchers("events"):
                await anyio.lowlevel.checkpoint()
        node.emit(RoundTrip("b", 5_000_000))
        await anyio.wait_all_tasks_blocked()
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert 'mpreg_round_trip_seconds_count{pool="local:a"} 1.0' in answer.text
        assert (await client.get("/api/status")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405


async def test_a_scraper_that_wants_open_metrics_gets_it(node, service):
    async with service(node) as running, httpx2.AsyncClient(base_url=f"http://{running.metrics}") as client:
        answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
