"""Bad requests of every kind get a precise problem document and change nothing."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from libs.service_kit.errors import SHOWN_ERRORS
from libs.service_kit.limits import MAX_BODY_BYTES

NOTES = "/api/v1/notes"
GOOD = {"code": "a", "text": "b", "amount": "1.00"}
JSON = {"content-type": "application/json"}


def raw(**changed: str) -> bytes:
    """A good body in which some values are replaced by these texts, which need not be JSON."""
    fields = {name: json.dumps(value) for name, value in GOOD.items()} | changed
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()


BODIES = {
    "NaN": (raw(amount="NaN"), 422),
    "infinity": (raw(amount="-Infinity"), 422),
    "a float": (raw(amount="1.5"), 422),
    "a number beyond floats": (raw(amount="1e999"), 422),
    "an endless integer": (raw(amount="1" * 5000), 400),
    "negative money": (raw(amount='"-1.00"'), 422),
    "three decimals": (raw(amount='"1.005"'), 422),
    "thirteen digits": (raw(amount='"1000000000000"'), 422),
    "digits of another script": (raw(amount='"\u0661\u0662"'), 422),
    "an exponent": (raw(amount='"1e3"'), 422),
    "NUL": (raw(text='"a\\u0000b"'), 422),
    "a lone surrogate": (raw(text='"\\ud800"'), 422),
    "a lone surrogate as a field": (b'{"\\ud800": 1}', 422),
    "an unknown field": (raw(colour='"red"'), 422),
    "a field with a very long name": (b'{"' + b"x" * 500_000 + b'": 1}', 422),
    "blank text": (raw(text='"  "'), 422),
    "too much text": (raw(text=json.dumps("x" * 201)), 422),
    "the wrong type": (raw(text="7"), 422),
    "null": (raw(text="null"), 422),
    "a list": (b"[]", 422),
    "a bare value": (b"1", 422),
    "no JSON": (b"{", 422),
    "not UTF-8": (b'{"text": "\xff"}', 400),
    "deep nesting": (b"[" * 60_000, 413),
    "deep nesting in a field": (raw(text="[" * 60_000 + "]" * 60_000), 413),
}


@pytest.fixture
async def count_notes(superuser: asyncpg.Connection, tenant_id: object) -> AsyncIterator[Callable[[], Any]]:
    """How many notes this test's tenant has."""
    yield lambda: superuser.fetchval("select count(*) from notes where tenant_id = $1", tenant_id)


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The answer is a problem document of this status; the document."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    document = answer.json()
    assert document["status"] == status
    assert len(document["trace_id"]) == 32
    assert len(answer.content) < 10_000
    return document


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES.keys())
async def test_a_bad_body_is_refused(client, count_notes, body, status):
    assert_problem(await client.post(NOTES, content=body, headers=JSON), status)
    assert await count_notes() == 0


async def test_a_refusal_names_the_field_and_not_its_value(client):
    answer = await client.post(NOTES, json=GOOD | {"text": ["hunter2"]})
    document = assert_problem(answer, 422)
    assert document["type"] == "/problems/invalid-input"
    assert [error["pointer"] for error in document["errors"]] == ["/body/text"]
    assert "hunter2" not in answer.text


async def test_a_body_that_is_no_json_is_wrong_as_a_whole(client):
    document = assert_problem(await client.post(NOTES, content=b'{"code":', headers=JSON), 422)
    assert [(e["pointer"], e["code"]) for e in document["errors"]] == [("/body", "json_invalid")]


async def test_no_more_errors_are_named_than_fit_a_form(client):
    answer = await client.post(NOTES, json={f"field{number}": number for number in range(1000)})
    assert len(assert_problem(answer, 422)["errors"]) == SHOWN_ERRORS


async def test_a_pointer_tells_a_slash_in_a_name_from_a_level(client):
    answer = await client.post(NOTES, json=GOOD | {"a/b~c": 1})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/body/a~1b~0c"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"]
)
async def test_a_body_of_another_media_type_is_refused(client, content_type):
    answer = await client.post(NOTES, content=raw(), headers={"content-type": content_type})
    assert_problem(answer, 415)


async def test_a_body_without_a_media_type_is_refused(client):
    assert_problem(await client.post(NOTES, content=raw()), 415)


async def test_a_json_media_type_with_parameters_is_taken(client):
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await client.post(NOTES, content=raw(), headers=headers)).status_code == 201


async def test_a_huge_body_is_refused_by_its_announced_size(client):
    answer = await client.post(NOTES, content=b" " * (MAX_BODY_BYTES + 1), headers=JSON)
    assert_problem(answer, 413)


async def test_a_huge_body_is_refused_while_it_arrives_in_pieces(client):
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 4 * MAX_BODY_BYTES:
            sent += 65536
            yield b" " * 65536

    answer = await client.post(NOTES, content=pieces(), headers=JSON)
    assert_problem(answer, 413)
    assert sent <= MAX_BODY_BYTES + 65536


async def test_the_largest_body_is_read(client):
    body = raw()
    answer = await client.post(NOTES, content=body + b" " * (MAX_BODY_BYTES - len(body)), headers=JSON)
    assert answer.status_code == 201


async def test_no_body_at_all_is_refused(client):
    assert_problem(await client.post(NOTES), 422)


@pytest.mark.parametrize("note_id", ["1", "%00", "\u00e9", "x" * 3000])
async def test_an_id_that_is_none_is_refused(client, note_id):
    answer = await client.get(f"{NOTES}/{note_id}")
    assert answer.status_code in (404, 422)
    assert_problem(answer, answer.status_code)


async def test_an_unknown_path_and_method_are_problems(client):
    assert_problem(await client.get("/api/v1/nothing"), 404)
    answer = await client.delete(NOTES)
    assert_problem(answer, 405)
    assert "allow" in answer.headers
