"""A call of an httpx or httpx2 client is a span that hands the trace on."""

import httpx
import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, format_trace_id

from libs.observability.traces.clients import URL_TEMPLATE
from tests.libs.observability.example import neighbour


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_call_of_a_client_is_a_span_that_hands_the_trace_on(spans, library, instrumented_clients):
    received: list[str] = []
    server = await neighbour(received)
    port = server.sockets[0].getsockname()[1]
    with trace.get_tracer("test").start_as_current_span("caller") as caller:
        async with server, library.AsyncClient() as client:
            await client.get(f"http://kim:pw@127.0.0.1:{port}/users/1?token=secret")
    call = spans()[0]
    assert (call.kind, call.parent.span_id) == (SpanKind.CLIENT, caller.get_span_context().span_id)
    assert call.attributes["url.full"] == f"http://127.0.0.1:{port}/users/1"
    assert call.attributes["http.response.status_code"] == 204
    assert f"traceparent: 00-{format_trace_id(call.context.trace_id)}-{call.context.span_id:016x}-0" in received[0]
    assert "secret" not in call.to_json()
    assert call.name == f"GET 127.0.0.1:{port}"


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_caller_names_the_span_of_its_call_by_a_template(spans, library, instrumented_clients):
    server = await neighbour([])
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/users/1"
    async with server, library.AsyncClient() as client:
        await client.get(url, extensions={URL_TEMPLATE: "/users/{id}"})
    call = spans()[0]
    assert (call.name, call.attributes["url.template"]) == ("GET /users/{id}", "/users/{id}")
