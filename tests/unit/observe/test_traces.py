"""Spans around requests, seen through a tracer of the test's own (the API alone records nothing)."""

from contextlib import contextmanager

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from mpreg_core import NoRouteError
from mpreg_core.observe import traces


class Recorder:
    """Stands in for the SDK's tracer and is its only span."""

    def __init__(self):
        self.attributes = {}
        self.status = None

    @contextmanager
    def start_as_current_span(self, name, context, kind, attributes, **options):
        self.name, self.kind = name, kind
        self.attributes |= attributes
        yield self

    def set_attribute(self, key, value):
        self.attributes[key] = value

    def set_status(self, status):
        self.status = status.status_code


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(traces, "_tracer", recorder)
    return recorder


def test_a_request_is_a_client_span_with_the_conventions_names(recorder):
    with traces.request_span("echo", "a"):
        pass
    assert (recorder.name, recorder.kind) == ("mpreg echo", SpanKind.CLIENT)
    assert recorder.attributes == {"rpc.system.name": "mpreg", "rpc.method": "echo", "mpreg.node": "a"}
    assert recorder.status is None


@pytest.mark.parametrize(("error", "kind"), [(NoRouteError("no way"), "no_route"), (KeyError("x"), "KeyError")])
def test_an_error_marks_the_span_and_goes_on(recorder, error, kind):
    with pytest.raises(type(error)), traces.serve_span("echo", "a", {}):
        raise error
    assert recorder.kind == SpanKind.SERVER
    assert recorder.attributes["error.type"] == kind
    assert recorder.status == StatusCode.ERROR


def test_without_an_sdk_a_span_does_nothing_and_nothing_is_carried():
    with traces.request_span("echo", "a") as span:
        assert not span.is_recording()
        assert traces.carry() == {}
