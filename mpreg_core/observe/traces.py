"""Spans around requests, by the OpenTelemetry API alone: they cost next to nothing until an SDK is installed.

Names follow OpenTelemetry's conventions for RPC spans (semantic conventions, rpc: `rpc.system.name`, `rpc.method`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from mpreg_core.errors import MpregError
from mpreg_core.ids import NodeId

_tracer = trace.get_tracer("mpreg")


@contextmanager
def request_span(service: str, node: NodeId) -> Iterator[Span]:
    """The time a request takes from `node`, where it entered the federation, until its reply or error."""
    with _span(service, node, SpanKind.CLIENT, {}) as span:
        yield span


@contextmanager
def serve_span(service: str, node: NodeId, carrier: Mapping[str, str]) -> Iterator[Span]:
    """The time a handler takes at `node`. `carrier` is what `carry` gave at the caller, or empty."""
    with _span(service, node, SpanKind.SERVER, carrier) as span:
        yield span


def carry() -> dict[str, str]:
    """The current span for another node, as W3C `traceparent` and friends; empty without an SDK."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


@contextmanager
def _span(service: str, node: NodeId, kind: SpanKind, carrier: Mapping[str, str]) -> Iterator[Span]:
    attributes = {"rpc.system.name": "mpreg", "rpc.method": service, "mpreg.node": node}
    context = propagate.extract(carrier) if carrier else None
    with _tracer.start_as_current_span(
        f"mpreg {service}", context, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except MpregError as error:
            span.set_attribute("error.type", error.code)
            span.set_status(Status(StatusCode.ERROR, error.message))
            raise
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
