"""Why a request was refused stands in its line, on its span and in a counter."""

import pytest
from fastapi import FastAPI, HTTPException, Response

from libs.observability import bind, explain, get_logger
from libs.observability.metrics.names import MOST_NAMES
from tests.libs.observability.example import counts

log = get_logger("orders")


@pytest.fixture
async def service() -> FastAPI:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/orders/{id}")
    async def read(id: int, status: int) -> Response:
        explain("not-yours", "Order 7 is another's.", password="hunter2", owner="Kim", amounts=[1, 2], code="a fact")
        return Response(status_code=status)

    @app.get("/twice")
    async def twice() -> Response:
        explain("first", first=1)
        explain("second")
        return Response(status_code=409)

    @app.get("/broken")
    async def broken() -> None:
        explain("half-way", "It had begun.")
        raise RuntimeError("no more")

    @app.get("/unexplained")
    async def unexplained() -> None:
        raise RuntimeError("no more")

    @app.get("/bare")
    async def bare() -> None:
        raise HTTPException(404)

    @app.get("/invented/{code}")
    async def invented(code: str) -> Response:
        explain(code * 100)
        return Response(status_code=400)

    @app.get("/bound")
    async def bound() -> None:
        bind(error="mine")

    return app


@pytest.mark.parametrize("status", [403, 503])
async def test_a_refusal_is_explained_in_its_line_on_its_span_and_by_a_counter(client, spans, lines, registry, status):
    await client.get(f"/orders/7?status={status}")
    [line], [span] = lines(), spans()
    facts = {"password": "[redacted]", "owner": "Kim", "amounts": [1, 2], "code": "a fact"}
    assert line["error"] == {"code": "not-yours", "message": "Order 7 is another's.", "facts": facts}
    assert {
        "error.type": "not-yours",
        "problem.message": "Order 7 is another's.",
        "problem.owner": "Kim",
        "problem.password": "[redacted]",
        "problem.amounts": "[1, 2]",
    }.items() <= dict(span.attributes).items()
    labels = (("handler", "/orders/{id}"), ("type", "not-yours"))
    assert counts(registry, "http_problems_total") == {labels: 1}


async def test_an_answer_that_is_no_error_needs_no_explanation(client, spans, lines, registry):
    await client.get("/orders/7?status=200")
    [line], [span] = lines(), spans()
    assert "error" not in line
    assert [name for name in span.attributes if name.startswith(("error", "problem"))] == []
    assert counts(registry, "http_problems_total") == {}


async def test_the_last_explanation_counts(client, lines, registry):
    await client.get("/twice")
    assert lines()[-1]["error"] == {"code": "second"}
    assert counts(registry, "http_problems_total") == {(("handler", "/twice"), ("type", "second")): 1}


@pytest.mark.parametrize(("path", "code"), [("/broken", "half-way"), ("/unexplained", "internal-server-error")])
async def test_an_exception_has_its_own_type_beside_the_code(client, spans, lines, registry, path, code):
    await client.get(path)
    error, [span] = lines()[-1]["error"], spans()
    assert (error["code"], error["type"], error["message"]) == (code, "RuntimeError", "no more")
    assert "Traceback" in error["stack"]
    assert span.attributes["error.type"] == "RuntimeError"
    assert counts(registry, "http_problems_total") == {(("handler", path), ("type", code)): 1}


async def test_without_an_explanation_nothing_is_made_up(client, spans, lines, registry):
    await client.get("/bare")
    [line], [span] = lines(), spans()
    assert "error" not in line
    assert "error.type" not in span.attributes
    assert counts(registry, "http_problems_total") == {}


async def test_a_bound_field_of_that_name_is_no_explanation(client, lines):
    await client.get("/bound")
    assert (lines()[-1]["error_"], "error" in lines()[-1]) == ("mine", False)


async def test_codes_that_are_invented_by_clients_are_bounded(client, lines, registry):
    for code in range(100, 2 * MOST_NAMES + 100):
        await client.get(f"/invented/{code}")
    counted = counts(registry, "http_problems_total")
    assert len(counted) == MOST_NAMES + 1
    assert counted[("handler", "/invented/{code}"), ("type", "_OTHER")] == MOST_NAMES
    assert len(lines()[0]["error"]["code"]) == 64


def test_outside_of_a_request_it_does_nothing(lines):
    explain("nobody-asked")
    log.info("a line")
    assert "error" not in lines()[-1]


async def test_only_the_line_of_the_request_is_explained(service, client, lines):
    @service.get("/later")
    async def later() -> Response:
        explain("not-now", left=0)
        log.info("cache refreshed")
        return Response(status_code=409)

    await client.get("/later")
    refreshed, request = lines()
    assert "error" not in refreshed
    assert request["error"] == {"code": "not-now", "facts": {"left": 0}}
