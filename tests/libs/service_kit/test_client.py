"""Calls to another service, over real sockets: each trouble has its answer, and none is made worse by trying again."""

import asyncio
import gzip
import os
import resource
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from stack.ports import free_port

from libs.service_kit import breaker, service_account
from libs.service_kit.answers import Refused
from libs.service_kit.breaker import FAILURES as BREAKER_FAILURES
from libs.service_kit.breaker import LONGEST_PAUSE_SECONDS
from libs.service_kit.client import ATTEMPTS, LARGEST_ANSWER, OUTCOMES, ServiceClient
from libs.service_kit.errors import Unavailable
from libs.service_kit.service_account import ServiceAccount
from libs.service_kit.shares import TENANT, Overloaded
from tests.fixtures.waiting import eventually_async
from tests.libs.service_kit.sockets import DROP, HANG, Peer, answer, running_peer


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """The service that is called."""
    async with running_peer() as running:
        yield running


@pytest.fixture
async def client(peer: Peer) -> AsyncIterator[ServiceClient]:
    """A client of the peer."""
    async with ServiceClient("peer", peer.url) as opened:
        yield opened


def as_it_is(document: Any) -> Any:
    """All of the answer."""
    return document


def state() -> str:
    """The state of the breaker as the metric shows it."""
    states = ("closed", "half-opened", "opened")
    name = "circuit_breaker_state"
    (shown,) = [s for s in states if REGISTRY.get_sample_value(name, {"target": "peer", name: s})]
    return shown


async def test_a_call_brings_its_token_and_gets_the_document(client, peer):
    peer.script = [answer(200, {"a": 1}), answer(201, {"b": 2})]
    assert await client.get("/things?q=x+y", as_it_is, token="t-1") == {"a": 1}
    assert await client.post("/things", as_it_is, json={"c": "d"}, content_type="application/x+json") == {"b": 2}
    (method, path, headers, _), (posted, _, post_headers, body) = peer.requests
    assert (method, path, headers["authorization"]) == ("GET", "/things?q=x+y", "Bearer t-1")
    assert (posted, post_headers["content-type"], body) == ("POST", "application/x+json", {"c": "d"})
    assert "authorization" not in post_headers


async def test_no_proxy_of_the_environment_gets_a_call_or_its_token(peer, monkeypatch):
    async with running_peer() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with ServiceClient("peer", peer.url) as client:
            await client.get("/", as_it_is, token="t-1")
        assert (len(peer.requests), proxy.requests) == (1, [])


async def test_connections_are_kept(client, peer):
    for _ in range(5):
        await client.get("/", as_it_is)
    assert (len(peer.requests), peer.connections) == (5, 1)


async def test_a_refusal_is_told_and_not_repeated(client, peer):
    peer.script = [answer(404, {"type": "/problems/not-found"}, "application/problem+json")]
    with pytest.raises(Refused) as refused:
        await client.get("/", as_it_is)
    assert (refused.value.status, refused.value.document) == (404, {"type": "/problems/not-found"})
    assert len(peer.requests) == 1


@pytest.mark.parametrize("body", ["Invalid HTTP request received.", "", "[1]"])
async def test_a_refusal_without_a_document_is_one_too(client, peer, body):
    peer.script = [answer(400, body, "text/plain")]
    with pytest.raises(Refused) as refused:
        await client.get("/", as_it_is)
    assert (refused.value.status, refused.value.document) == (400, {})


async def test_a_refusal_that_is_too_long_is_one_too(client, peer):
    peer.script = [answer(404, "x" * (LARGEST_ANSWER + 1), "text/plain")]
    with pytest.raises(Refused) as refused:
        await client.get("/", as_it_is)
    assert (refused.value.status, refused.value.document) == (404, {})


HTML = answer(200, "<html>", "text/html")


@pytest.mark.parametrize("trouble", [answer(503), DROP, HTML], ids=["503", "drop", "html"])
async def test_a_get_is_tried_again(client, peer, trouble):
    peer.script = [trouble, trouble, answer(200, {"a": 1})]
    assert await client.get("/", as_it_is) == {"a": 1}
    assert len(peer.requests) == 3


def raw(*headers: str, body: bytes = b"", status: int = 200) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", *headers, "", ""]).encode() + body


ENDLESS = b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"
TROUBLES = {
    "500": answer(500),
    "drop": DROP,
    "html": HTML,
    "redirect": answer(307, location="/"),
    "redirect to nowhere": answer(302),
    "many choices": answer(300, {"a": 1}),
    "broken gzip": raw("content-encoding: gzip", "content-length: 4", body=b"{}{}"),
    "cut gzip": raw("content-encoding: gzip", "connection: close", body=gzip.compress(b"{}" * 99)[:20]),
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "wrong length": raw("content-length: x"),
    "body that breaks off": raw("content-length: 10", "connection: close", body=b"{}"),
    "body without end": raw("transfer-encoding: chunked", body=ENDLESS * 99),
    "empty": raw("content-length: 0"),
    "no UTF-8": raw("content-length: 3", body=b'"\xff"'),
    "deep JSON": answer(200, "[" * 100_000),
    "not a number": answer(200, "NaN"),
    "another shape": answer(200, ["a"]),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_a_get_is_given_up_after_some_attempts(client, peer, trouble):
    peer.script = [trouble] * 10
    before = calls("failed", "peer") or 0
    with pytest.raises(Unavailable, match="The peer service does not answer now") as given_up:
        await client.get("/", lambda answer: answer["a"])
    assert given_up.value.headers["Retry-After"]
    assert (len(peer.requests), calls("failed", "peer")) == (ATTEMPTS, before + 1)


@pytest.mark.parametrize("trouble", [answer(503), DROP], ids=["503", "drop"])
async def test_a_post_is_never_repeated(client, peer, trouble):
    peer.script = [trouble]
    with pytest.raises(Unavailable):
        await client.post("/", as_it_is, json={})
    assert len(peer.requests) == 1


async def test_a_service_that_hangs_is_given_up_at_the_deadline(peer):
    peer.script = [HANG] * 10
    async with ServiceClient("peer", peer.url, deadline=0.2) as client, asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await client.get("/", as_it_is)
        with pytest.raises(Unavailable):
            await client.post("/", as_it_is)


async def test_all_attempts_share_one_deadline(peer):
    """An attempt may take two thirds of it, so there is no time for a third."""
    peer.script = [HANG] * ATTEMPTS
    async with ServiceClient("peer", peer.url, deadline=0.3) as client:
        with pytest.raises(Unavailable):
            await client.get("/", as_it_is)
    assert len(peer.requests) < ATTEMPTS


async def test_a_service_that_is_not_there_is_unavailable():
    async with ServiceClient("peer", f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(Unavailable):
            await client.get("/", as_it_is)


async def test_the_breaker_opens_and_spares_the_service_and_closes_again(client, peer, monkeypatch, caplog):
    now = 1000.0
    monkeypatch.setattr(breaker, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    assert state() == "closed"
    peer.script = [answer(500)] * BREAKER_FAILURES
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(Unavailable):
            await client.post("/", as_it_is)
    assert state() == "opened"
    for call in (client.get, client.post):
        with pytest.raises(Unavailable):
            await call("/", as_it_is)
    assert len(peer.requests) == BREAKER_FAILURES

    now += LONGEST_PAUSE_SECONDS
    peer.script = [answer(500)]
    with pytest.raises(Unavailable):
        await client.post("/", as_it_is)
    assert state() == "opened"

    now += LONGEST_PAUSE_SECONDS
    assert await client.post("/", as_it_is) == {}
    assert state() == "closed"
    changes = [vars(each)["_fields"]["state"] for each in caplog.records if each.msg == "circuit breaker changed"]
    assert changes == ["opened", "closed"]


async def test_calls_beyond_the_limit_wait_for_a_place(peer):
    async with ServiceClient("peer", peer.url, calls_at_once=6) as client:
        assert await asyncio.gather(*(client.get("/", as_it_is) for _ in range(30))) == [{}] * 30
    assert (len(peer.requests), peer.connections) == (30, 3)


async def test_a_call_that_has_waited_in_vain_is_no_failure_of_the_service(peer):
    peer.script = [HANG] * ATTEMPTS
    before = calls("busy", "peer") or 0
    async with ServiceClient("peer", peer.url, deadline=0.5, calls_at_once=1) as client:
        waiting = (client.get("/", as_it_is) for _ in range(3 * BREAKER_FAILURES))
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    busy = [each for each in answers if isinstance(each, Overloaded)]
    assert len(peer.requests) < BREAKER_FAILURES < len(busy) == (calls("busy", "peer") or 0) - before
    assert busy[0].headers["Retry-After"]
    assert state() == "closed"


async def test_calls_of_a_busy_tenant_hold_up_no_other(peer):
    async def of_tenant(tenant: UUID) -> object:
        TENANT.set(tenant)
        return await client.get("/", as_it_is)

    peer.script = [HANG] * 100
    async with ServiceClient("peer", peer.url, calls_at_once=4) as client, asyncio.TaskGroup() as group:
        flood = [group.create_task(of_tenant(UUID(int=1))) for _ in range(20)]

        async def is_full() -> bool:
            return len(peer.requests) == 4 // 2

        await eventually_async(is_full, 10)
        peer.script = []
        assert await asyncio.create_task(of_tenant(UUID(int=2))) == {}
        for call in flood:
            call.cancel()
    assert len(peer.requests) == 4 // 2 + 1


async def test_calls_that_their_callers_leave_open_no_breaker(client, peer):
    peer.script = [HANG] * (2 * BREAKER_FAILURES)
    for number in range(2 * BREAKER_FAILURES):
        call = asyncio.create_task(client.get("/", as_it_is))

        async def has_come(most: int = number) -> bool:
            return len(peer.requests) > most

        await eventually_async(has_come, 10)
        call.cancel()
        await asyncio.wait([call])
    assert state() == "closed"


async def test_time_outs_while_our_own_loop_is_busy_open_no_breaker(peer):
    """The answers are there in time, but nobody has time to read them."""
    async with ServiceClient("peer", peer.url, deadline=0.15) as client, asyncio.TaskGroup() as group:
        busy = group.create_task(hog())
        posts = (client.post("/", as_it_is) for _ in range(2 * BREAKER_FAILURES))
        answers = await asyncio.gather(*posts, return_exceptions=True)
        busy.cancel()
    assert sum(isinstance(each, Unavailable) for each in answers) >= BREAKER_FAILURES
    assert state() == "closed"


async def hog() -> None:
    """Leave the loop hardly any time for others."""
    while True:
        time.sleep(0.1)
        await asyncio.sleep(0)


async def test_a_lack_of_our_own_file_descriptors_opens_no_breaker(client):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_one = os.dup(0)
    os.close(next_one)
    # With fewer than a thread polls, as that of the tests' keys does, poll(2) would fail as well, and end that thread.
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, hard))
    try:
        posts = (client.post("/", as_it_is) for _ in range(2 * BREAKER_FAILURES))
        answers = await asyncio.gather(*posts, return_exceptions=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {type(each) for each in answers} == {Unavailable}
    assert state() == "closed"


async def test_a_service_that_says_it_has_too_much_to_do_is_left_alone_and_has_not_failed(client, peer):
    peer.script = [answer(503, {"type": "/problems/overloaded"})] * (2 * BREAKER_FAILURES)
    for _ in range(2 * BREAKER_FAILURES):
        with pytest.raises(Refused):
            await client.get("/", as_it_is)
    assert (len(peer.requests), state()) == (2 * BREAKER_FAILURES, "closed")


async def test_refusals_open_no_breaker(client, peer):
    peer.script = [answer(409)] * (2 * BREAKER_FAILURES)
    for _ in range(2 * BREAKER_FAILURES):
        with pytest.raises(Refused):
            await client.post("/", as_it_is)
    assert state() == "closed"


async def test_a_service_account_keeps_its_token_for_half_its_life(client, peer, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(service_account, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    peer.script = [answer(200, {"access_token": f"t-{n}", "expires_in": 600}) for n in range(2)]
    account = ServiceAccount(client, "probe-service", "secret")
    assert [await account.token() for _ in range(3)] == ["t-0"] * 3
    assert peer.requests[0][3] == {"client_id": "probe-service", "client_secret": "secret"}
    now += 301
    assert await account.token() == "t-1"


def calls(outcome: str, target: str) -> float | None:
    labels = {"target": target, "outcome": outcome}
    return REGISTRY.get_sample_value("service_call_duration_seconds_count", labels)


async def test_calls_are_counted_by_their_outcome_from_the_start(peer):
    """Each outcome exists before its first call."""
    async with ServiceClient("counted", peer.url) as client:
        assert [calls(outcome, "counted") for outcome in OUTCOMES] == [0] * len(OUTCOMES)
        peer.script = [answer(503), answer(200, {}), answer(404), *[answer(500)] * (BREAKER_FAILURES + 1), HANG]
        await client.get("/", as_it_is)
        with pytest.raises(Refused):
            await client.get("/", as_it_is)
        for _ in range(BREAKER_FAILURES + 1):
            with pytest.raises(Unavailable):
                await client.post("/", as_it_is)
    assert [calls(outcome, "counted") for outcome in OUTCOMES] == [1, 1, BREAKER_FAILURES, 1, 0, 0]
    assert REGISTRY.get_sample_value("service_call_retries_total", {"target": "counted"}) == 1


async def test_the_lines_of_a_call_that_fails_say_what_was_asked_and_what_came(client, peer, caplog):
    peer.script = [DROP, answer(503), answer(502)]
    with pytest.raises(Unavailable):
        await client.get("/things/7", as_it_is, route="/things/{id}")
    first, second, failed = [(record.getMessage(), vars(record)["_fields"]) for record in caplog.records]
    facts = {"target": "peer", "method": "GET", "route": "/things/{id}"}
    assert first == ("call is tried again", {**facts, "attempt": 1, "reason": "RemoteProtocolError"})
    assert second == ("call is tried again", {**facts, "attempt": 2, "status_code": 503})
    assert failed == ("call failed", {**facts, "attempt": 3, "status_code": 502})


async def test_a_breaker_that_opens_is_one_line_and_the_calls_that_are_not_made_are_none(client, peer, caplog):
    peer.script = [answer(500)] * BREAKER_FAILURES
    for _ in range(BREAKER_FAILURES + 5):
        with pytest.raises(Unavailable):
            await client.post("/", as_it_is)
    assert caplog.messages.count("circuit breaker changed") == 1
    assert caplog.messages.count("call failed") == BREAKER_FAILURES
