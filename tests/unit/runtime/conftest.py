"""Every test runs on each backend."""

import pytest


@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
def anyio_backend(request):
    if request.param[1].get("use_uvloop"):
        pytest.importorskip("uvloop")
    return request.param
