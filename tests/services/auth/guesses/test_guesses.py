"""Guesses: a few are free, then each wrong one makes the next wait longer, whoever guesses and whatever exists."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from math import log2
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.requests import Request

from libs.contracts import PLATFORM_TENANT_ID
from libs.service_kit.transactions import transaction
from services.auth import cleaning, passwords
from services.auth.guesses import service as guesses
from services.auth.guesses.callers import address_of
from services.auth.service_accounts import service as service_accounts
from tests.fixtures.app import create, replica_of, transport_to
from tests.fixtures.waiting import eventually_async
from tests.services.auth.conftest import PASSWORD

FREE = 10
WRONG = "a wrong password"
LOCKED = (429, "/problems/too-many-guesses")
REFUSED = (401, "/problems/invalid-credentials")
SECRET = "a-long-and-random-secret-of-tests"


def slug(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"]


@pytest.fixture
def at(app: Any, app_state: dict[str, Any]) -> Callable[[str], httpx.AsyncClient]:
    """A client at this address."""

    def make(address: str) -> httpx.AsyncClient:
        transport = transport_to(app, app_state, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://service")

    return make


@pytest.fixture
def later(superuser: asyncpg.Connection) -> Callable[[float], Awaitable[None]]:
    """Let this many seconds pass for whoever waits."""

    async def pass_by(seconds: float) -> None:
        await superuser.execute("update guesses set last_at = last_at - make_interval(secs => $1)", seconds)

    return pass_by


async def test_after_ten_wrong_passwords_the_right_one_has_to_wait_as_well(
    make_user, log_in, later, prolong, superuser
):
    await make_user()
    for _ in range(FREE + 1):
        assert slug(await log_in(password=WRONG)) == REFUSED
    await prolong()
    response = await log_in()
    assert slug(response) == LOCKED
    assert 2 <= int(response.headers["retry-after"]) <= 62
    await later(62)
    assert (await log_in()).status_code == 200
    assert await superuser.fetchval("select count(*) from guesses where account <> ''") == 0


async def test_the_guesses_at_two_replicas_are_counted_together(make_user, log_in, service_settings, code):
    await make_user()
    async with replica_of(create(service_settings)) as transport:
        replica = httpx.AsyncClient(transport=transport, base_url="http://replica")
        wanted = {"tenant": code, "email": "ada@example.com", "password": WRONG}
        for number in range(FREE + 1):
            at_the_other = number % 2
            answer = await (replica.post("/api/v1/auth/login", json=wanted) if at_the_other else log_in(password=WRONG))
            assert slug(answer) == REFUSED
        assert slug(await replica.post("/api/v1/auth/login", json=wanted)) == LOCKED
        assert slug(await log_in()) == LOCKED


@pytest.mark.parametrize("given", [{"email": "nobody@example.com"}, {"tenant": "no-such-tenant"}])
async def test_who_does_not_exist_has_to_wait_in_the_same_way(make_user, log_in, given, prolong, monkeypatch):
    async def answers(**given: Any) -> list[Any]:
        answers = [await log_in(**given) for _ in range(FREE + 1)]
        await prolong()
        answers.append(await log_in(**given))
        return [
            ({**answer.json(), "trace_id": None}, answer.status_code, "retry-after" in answer.headers)
            for answer in answers
        ]

    await make_user()
    checked: list[str] = []
    verify = passwords.verify

    async def counted(password: str, password_hash: str | None) -> bool:
        checked.append(password)
        return await verify(password, password_hash)

    monkeypatch.setattr(passwords, "verify", counted)
    assert await answers(password=WRONG) == await answers(**given)
    assert len(checked) == 2 * (FREE + 1)


@pytest.mark.parametrize(
    ("failures", "wait"), [(FREE, None), (FREE + 1, "2"), (FREE + 3, "8"), (FREE + 9, "512"), (FREE + 10, "900")]
)
async def test_each_wrong_guess_makes_the_next_wait_twice_as_long_up_to_a_quarter_of_an_hour(
    log_in, superuser, failures, wait
):
    await log_in(password=WRONG)
    await superuser.execute("update guesses set failures = $1, last_at = now() where account <> ''", float(failures))
    response = await log_in(password=WRONG)
    assert (response.status_code, response.headers.get("retry-after")) == (429 if wait else 401, wait)


async def test_an_attack_for_ever_is_forgotten_within_a_day(log_in, superuser, later):
    for _ in range(60):
        await log_in(password=WRONG)
        await later(900)
    most = await superuser.fetchval("select max(failures) from guesses where account <> ''")
    assert FREE < most <= FREE + 10
    await later(20 * 3600)
    await log_in(password=WRONG)
    assert await superuser.fetchval("select max(failures) from guesses where account <> ''") == pytest.approx(
        1, abs=0.1
    )


async def test_what_is_refused_counts_no_further(log_in, prolong, superuser):
    for _ in range(FREE + 1):
        await log_in(password=WRONG)
    await prolong()
    before = await superuser.fetch("select * from guesses order by account")
    for _ in range(5):
        assert slug(await log_in(password=WRONG)) == LOCKED
    assert await superuser.fetch("select * from guesses order by account") == before


async def test_guesses_at_once_are_no_more_tries(make_user, log_in):
    await make_user()
    began = time.monotonic()
    answers = await asyncio.gather(*(log_in(password=WRONG) for _ in range(60)))
    checked = [answer for answer in answers if answer.status_code == 401]
    # One more after the first wait, of two seconds, one after the second, of four: 2 + 4 + … + 2ⁿ is 2ⁿ⁺¹ - 2.
    waits = int(log2(time.monotonic() - began + 2)) - 1
    assert FREE + 1 <= len(checked) <= FREE + 1 + waits
    assert {answer.status_code for answer in answers if answer not in checked} == {429}


async def test_of_guesses_at_once_after_a_wait_one_is_tried(make_user, log_in, superuser):
    await make_user()
    await log_in(password=WRONG)
    waited = "update guesses set failures = $1, last_at = now() - interval '1 hour' where account <> ''"
    await superuser.execute(waited, float(FREE + 9))  # the next wait is longer than this takes on any machine
    answers = await asyncio.gather(*(log_in(password=WRONG) for _ in range(60)))
    assert sorted(answer.status_code for answer in answers) == [401] + [429] * 59


async def test_right_ones_at_once_are_all_let_in(make_user, log_in):
    await make_user()
    for _ in range(5):
        answers = await asyncio.gather(*(log_in() for _ in range(8)))
        assert [answer.status_code for answer in answers] == [200] * 8


async def test_a_session_goes_on_while_its_account_waits(make_user, log_in, prolong, anonymous):
    await make_user()
    token = (await log_in()).json()["refresh_token"]
    for _ in range(FREE + 1):
        await log_in(password=WRONG)
    await prolong()
    assert slug(await log_in()) == LOCKED
    assert (await anonymous.post("/api/v1/auth/refresh", json={"refresh_token": token})).status_code == 200


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1")],
)
async def test_one_address_gets_a_hundred_wrong_guesses_at_all_accounts_together(
    make_user, at, code, superuser, one, same, other
):
    await make_user()

    async def log_in(address: str, password: str, email: str) -> httpx.Response:
        wanted = {"tenant": code, "email": email, "password": password}
        return await at(address).post("/api/v1/auth/login", json=wanted)

    for _ in range(3):  # right ones do not count
        assert (await log_in(one, PASSWORD, "ada@example.com")).status_code == 200
    assert slug(await log_in(one, WRONG, "nobody@example.com")) == REFUSED
    assert 0 < await superuser.fetchval("select failures from guesses where account = ''") <= 1
    await superuser.execute("update guesses set failures = 101, last_at = now() where account = ''")
    before = REGISTRY.get_sample_value("auth_guesses_refused_total", {"limit": "address"})
    response = await log_in(same, PASSWORD, "ada@example.com")
    assert (slug(response), response.headers["retry-after"]) == (LOCKED, "2")
    assert REGISTRY.get_sample_value("auth_guesses_refused_total", {"limit": "address"}) == before + 1
    assert (await log_in(other, PASSWORD, "ada@example.com")).status_code == 200


@pytest.mark.parametrize(("failures", "wait"), [(101, 2), (102, 4), (103, 6), (110, 20)])
async def test_an_address_waits_no_longer_than_until_enough_is_forgotten(
    make_user, at, code, superuser, later, failures, wait
):
    await make_user()
    wanted = {"tenant": code, "email": "ada@example.com", "password": PASSWORD}
    log_in = partial(at("192.0.2.1").post, "/api/v1/auth/login", json=wanted)
    assert (await log_in()).status_code == 200
    await superuser.execute("update guesses set failures = $1, last_at = now() where account = ''", float(failures))
    refused = await log_in()
    assert (slug(refused), refused.headers["retry-after"]) == (LOCKED, str(wait))
    await later(wait)
    assert (await log_in()).status_code == 200


async def test_what_is_not_checked_is_no_guess(make_user, log_in, monkeypatch, superuser):
    await make_user()
    with monkeypatch.context() as busy:
        busy.setattr(passwords, "WAITING_LIMIT", 0)
        for _ in range(FREE + 5):
            assert slug(await log_in()) == (429, "/problems/password-checks-busy")
    assert await superuser.fetchval("select max(failures) from guesses") == 0
    assert (await log_in()).status_code == 200


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/a:b.sock", ""),
    ],
)
async def test_an_address_counts_alike_however_it_is_written(host, counted):
    assert address_of(Request({"type": "http", "client": (host, 1)})) == counted


async def test_a_service_waits_at_the_address_of_the_guesses_until_it_is_given_another_secret(at, sessions):
    async def ask(address: str, secret: str) -> int:
        asked = {"client_id": "budget-service", "client_secret": secret}
        return (await at(address).post("/api/v1/auth/token", json=asked)).status_code

    async def give(secret: str) -> None:
        async with transaction(sessions, PLATFORM_TENANT_ID) as session:
            await service_accounts.set_secret(session, "budget-service", secret)

    await give(SECRET)
    assert [await ask("192.0.2.1", "wrong") for _ in range(FREE + 2)] == [401] * (FREE + 1) + [429]
    assert await ask("192.0.2.1", SECRET) == 429
    assert await ask("192.0.2.2", SECRET) == 200
    assert await ask("192.0.2.1", SECRET) == 429
    await give(f"another-{SECRET}")
    assert await ask("192.0.2.1", f"another-{SECRET}") == 200


async def test_nobody_can_read_from_the_rows_what_was_typed(log_in, superuser):
    await log_in("typed@example.com", password=WRONG)
    rows = [str(row) for row in await superuser.fetch("select * from guesses")]
    assert not [row for row in rows if "typed" in row or hashlib.sha256(b"typed@example.com").hexdigest() in row]


async def test_old_rows_are_removed(sessions, superuser, monkeypatch):
    monkeypatch.setattr(guesses, "ROWS", 1)  # so more is old than one transaction removes
    for age, account in (("25 hours", "old"), ("25 hours", "old"), ("23 hours", "new")):
        await superuser.execute(
            f"insert into guesses values ($1, $2, 1, now() - interval '{age}')", account, uuid4().hex
        )
    task = asyncio.create_task(cleaning.clean(sessions))

    async def is_clean() -> bool:
        assert not task.done()
        return [account for (account,) in await superuser.fetch("select account from guesses")] == ["new"]

    await eventually_async(is_clean, 5, "old rows are left")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
