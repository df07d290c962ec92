"""A body costs nothing before its sender is known, and afterwards no more than its limits allow: size, memory, time, depth."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from libs.service_kit import answers, limits
from libs.service_kit.events.http import PATH as EVENTS
from libs.service_kit.limits import MAX_BODY_BYTES, MAX_DEPTH

NOTES = "/api/v1/notes"
GOOD = {"code": "a", "text": "b", "amount": "1.00"}
JSON = {"content-type": "application/json"}


async def nobody_reads() -> AsyncIterator[bytes]:
    """A body that must not be read."""
    pytest.fail("the body was read")
    yield b""


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    """A body that comes in these pieces, and then hangs if the last one is empty."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0.01)
    if not pieces[-1]:
        await asyncio.Event().wait()


@pytest.mark.parametrize("path", [NOTES, EVENTS])
@pytest.mark.parametrize(("token", "status"), [(None, 401), ("no.token.at-all", 401), ("other", 403)])
async def test_who_may_not_send_a_body_is_told_before_it_is_read(anonymous, make_token, path, token, status):
    token = make_token("audit:read") if token == "other" else token
    headers = JSON | ({"authorization": f"Bearer {token}"} if token else {})
    answer = await anonymous.post(path, content=nobody_reads(), headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("given", [{"content-type": "text/plain"}, JSON | {"content-length": str(MAX_BODY_BYTES + 1)}])
async def test_what_the_headers_say_is_enough_for_a_refusal(client, given):
    answer = await client.post(NOTES, content=nobody_reads(), headers=given)
    assert answer.status_code in (413, 415)


async def test_a_batch_of_events_may_be_larger_than_another_body(make_client):
    batch = json.dumps([{"note": "x" * 100}] * 20_000).encode()
    assert MAX_BODY_BYTES < len(batch) < 4 * MAX_BODY_BYTES
    sender = make_client("events:deliver")
    assert (await sender.post(EVENTS, content=batch, headers=JSON)).status_code == 200
    assert (await sender.post(EVENTS, content=batch * 2, headers=JSON)).status_code == 413


@pytest.mark.parametrize(("pause", "whole"), [(0.1, 3600), (3600, 0.1)])
async def test_a_body_that_does_not_come_is_given_up(client, monkeypatch, pause, whole):
    monkeypatch.setattr(limits, "PAUSE_SECONDS", pause)
    monkeypatch.setattr(limits, "BODY_SECONDS", whole)
    async with asyncio.timeout(30):
        answer = await client.post(NOTES, content=in_pieces(b'{"code":', b""), headers=JSON)
    assert (answer.status_code, answer.headers["content-type"]) == (408, "application/problem+json")


async def test_a_body_that_comes_slowly_is_given_up_in_the_end(client, monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.1)
    answer = await client.post(NOTES, content=in_pieces(*[b" "] * 10_000), headers=JSON)
    assert answer.status_code == 408


async def test_a_body_may_take_longer_than_the_longest_pause(client, monkeypatch):
    monkeypatch.setattr(limits, "PAUSE_SECONDS", 1)
    pieces = [bytes([each]) for each in json.dumps(GOOD).encode()]
    assert (await client.post(NOTES, content=in_pieces(*pieces), headers=JSON)).status_code == 201


async def test_large_bodies_share_the_memory_that_there_is_for_them(client, monkeypatch):
    monkeypatch.setattr(limits, "MAX_LARGE_BODIES_BYTES", 200_000)
    release = asyncio.Event()

    async def large() -> AsyncIterator[bytes]:
        yield json.dumps(GOOD).encode() + b" " * 150_000
        await release.wait()

    first = asyncio.create_task(client.post(NOTES, content=large(), headers=JSON))
    while not limits._Large.held:
        await asyncio.sleep(0.01)
    answer = await client.post(NOTES, json=GOOD, headers={"x-pad": "x"})
    assert answer.status_code == 201  # a small one
    answer = await client.post(NOTES, content=b" " * 150_000, headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == answers.OVERLOADED
    release.set()
    assert (await first).status_code == 409  # the small one has taken its code
    assert limits._Large.held == 0


def nested(depth: int) -> bytes:
    """A good note but for its text, which lies in lists: so many levels with the note's own."""
    return json.dumps(GOOD).encode().replace(b'"b"', b"[" * (depth - 1) + b"]" * (depth - 1))


@pytest.mark.parametrize("key", [{}, {"idempotency-key": "k-1"}])
@pytest.mark.parametrize(
    ("depth", "code"), [(MAX_DEPTH, "string_type"), (MAX_DEPTH + 1, "too_deep"), (960, "too_deep")]
)
async def test_json_is_as_deep_as_anybody_needs(client, depth, code, key):
    answer = await client.post(NOTES, content=nested(depth), headers=JSON | key)
    assert (answer.status_code, [each["code"] for each in answer.json()["errors"]]) == (422, [code])


async def test_brackets_in_a_text_are_no_levels(client):
    text = '[{"\\' * 40
    answer = await client.post(NOTES, json=GOOD | {"text": text})
    assert (answer.status_code, answer.json()["text"]) == (201, text)


@pytest.mark.parametrize("body", [b"[" + b"{}," * 20_000 + b"{}]", b"[" + b"0," * 20_000 + b"0]"])
async def test_a_body_has_no_more_values_than_its_size_is_worth(client, body):
    assert (await client.post(NOTES, content=body, headers=JSON)).status_code == 413


async def test_commas_in_a_text_are_no_values(client):
    answer = await client.post(NOTES, json=GOOD | {"text": "," * 20_000})
    assert [each["code"] for each in answer.json()["errors"]] == ["string_too_long"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le"])
async def test_json_of_another_encoding_is_refused(client, encoding):
    answer = await client.post(NOTES, content=json.dumps(GOOD).encode(encoding), headers=JSON)
    assert (answer.status_code, [each["code"] for each in answer.json()["errors"]]) == (422, ["json_invalid"])
