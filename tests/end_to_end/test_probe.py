"""The synthetic user goes through all five services, survives every trouble, and leaves hardly any rows."""

import asyncio
import json
import logging
import math
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from stack import environment
from stack.ports import free_port
from stack.services import SERVICES
from stack.settings import ROOT
from stack.watch.traces import of_request

from libs.journey import PROBES_USER_AGENT, steps, synthetic
from libs.journey.client import Api, Unreachable
from libs.journey.probe import LONGEST_PAUSE_SECONDS, Probe, main, make_api
from libs.journey.synthetic import SyntheticUser
from tests.end_to_end.stack import OUTER, Stack, complete_lines
from tests.fixtures import emitted
from tests.fixtures.waiting import eventually

FIVE = {service.name for service in SERVICES}
SERVER, CLIENT = 2, 3
UNREACHABLE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def probes_api(stack: Stack) -> Iterator[Api]:
    """The probe's own `Api`, as the program makes it."""
    api = make_api(stack.urls)
    yield api
    api.close()


@pytest.fixture(scope="module")
def user(own_stack: Stack, probes_api: Api) -> SyntheticUser:
    """The probe's user."""
    return SyntheticUser(probes_api, own_stack.settings.values)


@pytest.fixture(scope="module")
def started(user: SyntheticUser) -> Probe:
    """A probe that has played its first round."""
    probe = Probe(user)
    assert probe.play() == {}
    return probe


@pytest.fixture
def probe(started: Probe, own_stack: Stack, probes_api: Api) -> Iterator[Probe]:
    """The probe, which finds all services where they are."""
    probes_api.urls = own_stack.urls
    assert started.play() == {}
    return started


def success(short: str) -> float:
    return REGISTRY.get_sample_value("probe_success", {"service": f"{short}-service"})


def counted(short: str, step: str, outcome: str) -> float:
    return REGISTRY.get_sample_value(
        "probe_steps_total", {"service": f"{short}-service", "step": step, "outcome": outcome}
    )


def rows(stack: Stack) -> dict[str, int]:
    """How many rows each table of each database has, without what is removed after some time."""

    async def count() -> dict[str, int]:
        found = {}
        for short in stack.urls:
            connection = await stack.superuser(short)
            tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
            for (table,) in tables:
                if table not in {"outbox", "inbox", "idempotency_keys", "refresh_tokens", "guesses"}:
                    found[f"{short}.{table}"] = await connection.fetchval(f'select count(*) from "{table}"')
            await connection.close()
        return found

    return asyncio.run(count())


def has_delivered(stack: Stack) -> bool:
    """Whether no event waits: those of the tests before this one leave rows of the audit trail."""

    async def count() -> int:
        waiting = 0
        for short in stack.urls:
            connection = await stack.superuser(short)
            waiting += await connection.fetchval(
                "select count(*) from outbox where published_at is null and failed_at is null"
            )
            await connection.close()
        return waiting

    return asyncio.run(count()) == 0


def test_a_round_asks_each_service_and_a_later_one_leaves_no_row(own_stack, probe):
    assert {success(short) for short in own_stack.urls} == {1.0}
    eventually(lambda: has_delivered(own_stack), 30)
    before = rows(own_stack)
    renewed = counted("auth", "renew the session", "success")
    for _ in range(3):
        assert probe.play() == {}
    assert counted("auth", "renew the session", "success") == renewed + 3
    assert rows(own_stack) == before


def test_a_restarted_probe_finds_its_tenant_again_and_leaves_two_logins(own_stack, probe, api):
    before = rows(own_stack)
    assert Probe(SyntheticUser(api, own_stack.settings.values)).play() == {}
    added = {table: count - before[table] for table, count in rows(own_stack).items() if count != before[table]}
    assert added == {"auth.sessions": 2, "system.audit_entries": 2}


def test_a_service_that_is_away_is_the_only_one_that_fails_and_is_said_once(own_stack, probe, probes_api, caplog):
    caplog.set_level(logging.INFO)
    probes_api.urls = own_stack.urls | {"tenant": UNREACHABLE}
    for _ in range(3):
        failed = probe.play()
        assert (failed.keys(), type(failed["tenant"])) == ({"tenant"}, Unreachable)
    assert (success("tenant"), success("budget")) == (0.0, 1.0)
    probes_api.urls = own_stack.urls
    assert probe.play() == {}
    assert [record.getMessage() for record in caplog.records if record.name == "libs.journey.probe"] == [
        "the synthetic user cannot use every service",
        "the synthetic user can use every service",
    ]
    assert probe.pause(60) == 60


@pytest.mark.parametrize("seconds", [synthetic.LOGIN_SECONDS, 0])
def test_while_auth_is_away_the_others_are_still_asked(own_stack, probe, probes_api, monkeypatch, seconds):
    monkeypatch.setattr(synthetic, "LOGIN_SECONDS", seconds)
    probes_api.urls = own_stack.urls | {"auth": UNREACHABLE}
    assert probe.play().keys() == {"auth"}
    assert success("budget") == 1.0


def test_a_session_that_has_ended_is_followed_by_a_login_in_the_same_round(own_stack, probe):
    logins = counted("auth", "log in", "success")

    async def end_sessions() -> None:
        connection = await own_stack.superuser("auth")
        await connection.execute("delete from sessions")
        await connection.close()

    asyncio.run(end_sessions())
    assert probe.play() == {}
    assert (success("auth"), counted("auth", "log in", "success")) == (1.0, logins + 1)


def test_tokens_that_no_service_accepts_are_followed_by_a_login_in_the_next_round(probe, user):
    user.observer.token += "A"
    assert probe.play().keys() == {"tenant"}
    assert probe.play() == {}


def test_a_wrong_password_is_tried_less_and_less_often_and_skips_the_other_steps(own_stack, api):
    wrong = own_stack.settings.values | {"BOOTSTRAP__ADMIN_PASSWORD": "not-this-one-at-all"}
    probe = Probe(SyntheticUser(api, wrong))
    pauses = []
    for _ in range(4):
        assert probe.play().keys() == {"auth"}
        pauses.append(probe.pause(60))
    assert pauses == [120, 240, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]
    assert (success("auth"), math.isnan(success("budget"))) == (0.0, True)


class RefusedUser(SyntheticUser):
    """Its logins succeed, but tenant does not know the token."""

    def log_in(self) -> None:
        super().log_in()
        self.observer.token += "A"


def test_tokens_that_are_refused_right_after_a_login_are_followed_by_longer_pauses(own_stack, probes_api):
    probes_api.urls = own_stack.urls
    probe = Probe(RefusedUser(probes_api, own_stack.settings.values))
    pauses = []
    for _ in range(2):
        assert probe.play().keys() == {"tenant"}
        pauses.append(probe.pause(60))
    assert pauses == [120, 240]


class LateTenantUser(SyntheticUser):
    """Its tenant is not provisioned in time."""

    seconds = 60

    def log_in(self) -> None:
        raise steps.StepFailed("tenant", f"the tenant is not provisioned after {self.seconds} s")


def test_a_login_that_another_service_prevents_is_that_ones_failure_and_passing(own_stack, api, caplog):
    user = LateTenantUser(api, own_stack.settings.values)
    probe = Probe(user)
    for user.seconds in (60, 61):
        assert probe.play().keys() == {"tenant"}
    assert (success("auth"), success("tenant"), math.isnan(success("budget"))) == (1.0, 0.0, True)
    assert probe.pause(60) == 60
    assert len([each for each in caplog.records if each.name == "libs.journey.probe"]) == 1


def test_another_failure_of_the_same_service_is_said(own_stack, probe, probes_api, user, caplog):
    probes_api.urls = own_stack.urls | {"tenant": UNREACHABLE}
    assert probe.play().keys() == {"tenant"}
    probes_api.urls = own_stack.urls
    user.observer.token += "A"
    assert probe.play().keys() == {"tenant"}
    assert len([each for each in caplog.records if each.name == "libs.journey.probe"]) == 2
    assert probe.play() == {}


def test_a_tenant_that_has_been_closed_is_replaced_by_another(own_stack, probe, user, platform):
    async def close() -> None:
        for short in ("tenant", "auth"):
            connection = await own_stack.superuser(short)
            await connection.execute("update tenants set status = 'closed' where code = $1", synthetic.CODE)
            await connection.close()

    asyncio.run(close())
    user.user.refresh_token += "?"
    assert probe.play().keys() == {"auth"}
    assert probe.play() == {}
    tenants = {each["code"]: each["status"] for each in steps.pages(platform, "tenant", "/api/v1/tenants")}
    assert (tenants["synthetic-user"], tenants["synthetic-user-2"]) == ("closed", "active")


def test_without_its_database_a_service_is_said_to_fail(own_stack, probe):

    async def lock() -> None:
        connection = await own_stack.superuser("system")
        await connection.execute("alter role system_app with nologin")
        await connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'system_app'")
        await connection.close()

    async def unlock() -> None:
        connection = await own_stack.superuser("system")
        await connection.execute("alter role system_app with login")
        await connection.close()

    asyncio.run(lock())
    try:
        assert probe.play().keys() == {"system"}
    finally:
        asyncio.run(unlock())
    eventually(lambda: not probe.play(), 20, "system does not come back")


def test_the_program_feeds_every_service_begins_the_trace_and_ends_at_once(own_stack, tmp_path):
    port = free_port()
    variables = environment.of_client(own_stack.settings, OUTER) | {
        "METRICS_PORT": str(port),
        "LOG_DIR": str(tmp_path / "logs"),
        "TRACES_DIR": str(tmp_path / "traces"),
    }
    process = subprocess.Popen([sys.executable, "-m", "libs.journey.probe"], env=variables, cwd=ROOT)
    try:
        page = eventually(lambda: _page_with_success(port), 20, "the probe has no success")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert " 0.0" not in re.search(r"(?m)^probe_last_success_timestamp_seconds.*", page)[0]
    (line,) = [each for each in complete_lines(tmp_path / "logs/combined.log") if "can use every service" in each]
    trace_id = line.partition('"trace_id":')[2].split('"')[1]

    def asked_by_the_probe() -> list[dict[str, Any]]:
        """The services' own spans, once they have written them, which they do once a second."""
        spans = [span for span in own_stack.spans(trace_id) if span["kind"] == SERVER]
        ours = [span for span in spans if span["attributes"]["user_agent.original"] == PROBES_USER_AGENT]
        return ours if {span["service"] for span in ours} == FIVE else []

    ours = eventually(asked_by_the_probe, 20, "not every service has a span that the probe has caused")
    made = [span for raw in complete_lines(tmp_path / "traces/spans.jsonl") for span in of_request(json.loads(raw))]
    known = {span.span_id: span for span in made if span.trace_id == trace_id}
    assert [span.name for span in known.values() if span.parent_id not in known] == ["round of the synthetic user"]
    assert {known[span["parentSpanId"]].kind for span in ours} == {CLIENT}
    seen = {
        *(fact for fact in emitted.of_page("probe", page) if fact.name.startswith("probe_")),
        *emitted.of_spans(json.loads(raw) for raw in complete_lines(tmp_path / "traces/spans.jsonl")),
        *emitted.of_line(json.loads(line)),
    }
    emitted.must_be_named(seen)
    assert emitted.named("probe") - seen == set()


def _page_with_success(port: int) -> str:
    page = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return page if set(re.findall(r'probe_success\{service="(.+)"\} 1\.0', page)) == FIVE else ""


@pytest.mark.parametrize("seconds", ["9", "301", "often"])
def test_a_setting_that_cannot_be_used_ends_the_program_and_is_named(monkeypatch, seconds):
    monkeypatch.setenv("PROBE_SECONDS", seconds)
    with pytest.raises(SystemExit, match=r"^probe cannot start: PROBE_SECONDS: Input should be "):
        main()


def test_another_password_of_the_administrator_changes_its_own_and_keeps_its_tenant(own_stack, probe, platform, api):
    """The last one here: from now on, the user of before has another password."""
    login = {"email": "second@platform.example", "password": "plover-orchid-4711"}
    platform.create("auth", "/api/v1/users", login | {"name": "Second", "roles": ["platform administrator"]})
    changed = {f"BOOTSTRAP__ADMIN_{name.upper()}": value for name, value in login.items()}
    before = [each["id"] for each in steps.pages(platform, "tenant", "/api/v1/tenants")]
    user = SyntheticUser(api, own_stack.settings.values | changed)
    assert Probe(user).play() == {}
    assert [each["id"] for each in steps.pages(platform, "tenant", "/api/v1/tenants")] == before
    users = steps.pages(user.user, "auth", "/api/v1/users")
    assert [each["email"] for each in users if each["is_active"]] == ["synthetic.user@synthetic-user.example"]
