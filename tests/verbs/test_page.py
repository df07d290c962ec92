"""The page of local mode in a browser: every view shows what the story has left, and no text of it becomes anything else.

`SCREENSHOTS=1 make test-verbs` also writes the pictures of dev-environment/page/README.md anew.
"""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from page.views.service_map import SECONDS
from stack import settings
from stack.environment import url
from stack.local import supervisor
from stack.local.watchers import port
from stack.services import AUTH, BUDGET, PAGE, SERVICES, service_named
from stack.settings import ROOT, Settings

from tests.fixtures.local_stack import verb
from tests.fixtures.waiting import eventually
from tests.verbs import truth

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine")

expect = playwright.expect
HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m\u202egpj.exe"
SHOWN = r"</script><img src=x onerror=alert(1)>\x1b[31m\u202egpj.exe"
MILLISECONDS = 20_000


def home(stack: Settings) -> str:
    return f"http://127.0.0.1:{port(PAGE, stack)}"


@pytest.fixture(scope="module")
def stack(environment: dict[str, str]) -> Settings:
    """A stack on which the story has been played once."""
    done = verb(environment, "up", "--mode", "local")
    assert done.returncode == 0, done.stdout + done.stderr
    current = settings.read(environment, Path(os.devnull))
    assert re.search(rf"what .*\n.*\n *page +http://127.0.0.1:{port(PAGE, current)}\b", done.stdout), done.stdout
    return current


@pytest.fixture(scope="module")
def told(environment: dict[str, str], stack: Settings) -> str:
    """What the story printed."""
    done = verb(environment, "run", "--", "python", "-m", "libs.journey")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, stack: Settings) -> Iterator[Any]:
    """A browser's page; the test fails if it complains, opens a dialog or asks any other host."""
    context = chromium.new_context(
        base_url=home(stack), viewport={"width": 1280, "height": 720}, reduced_motion="reduce"
    )
    opened, complaints = context.new_page(), []
    opened.set_default_timeout(MILLISECONDS)
    opened.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("request", lambda request: complaints.append(request.url) if _is_elsewhere(request.url, stack) else None)
    yield opened
    context.close()
    assert complaints == []


def _is_complaint(message: Any) -> bool:
    # Chromium drops its connections when the machine gets another network, as an engine's containers bring along.
    return message.type == "error" and "ERR_NETWORK_CHANGED" not in message.text


def _is_elsewhere(address: str, stack: Settings) -> bool:
    return not address.startswith((home(stack), "data:", "blob:"))


def row(page: Any, table: str, text: str) -> Any:
    return page.get_by_role("table", name=table).locator("tbody tr:not(.detail)").filter(has_text=text).first


def samples(stack: Settings, service: Any, pattern: str) -> dict[str, float]:
    """The samples of /metrics whose line begins so, by what the pattern's group holds."""
    found = re.findall(rf"(?m)^{pattern} ([\d.e+-]+)$", httpx.get(f"{url(service, stack)}/metrics").text)
    totals: dict[str, float] = {}
    for name, value in found:
        totals[name] = totals.get(name, 0.0) + float(value)
    return totals


def last_trace(told: str) -> str:
    """The trace of the last step: an approval, through budget, personnel and system."""
    return re.findall(r"[0-9a-f]{32}", told)[-1]


def test_the_overview_shows_that_all_run_and_who_has_logged_in(page, stack, told):
    page.goto("/")
    expect(page.get_by_text("5 of 5 services are ready")).to_be_visible()
    for each in SERVICES:
        expect(row(page, "services", each.name)).to_contain_text("ready for")
    counted = samples(stack, AUTH, r'auth_login_total\{[^}]*status="(\w+)"[^}]*\}')
    assert counted["success"] > 3
    for outcome, count in counted.items():
        expect(row(page, "logins", outcome).locator("td").last).to_have_text(f"{count:,.0f}")
    for each in ("probe", "postgres"):
        expect(row(page, "other processes", each)).to_contain_text("ready")


def test_the_overview_shows_what_a_service_has_measured(page, stack, environment, told):
    # The page shows the last half minute. When that is all of a new process's life, the truth is what that has counted.
    def log_in() -> int:
        given = {"tenant": "platform", "email": "nobody@platform.example", "password": "wrong wrong wrong"}
        return httpx.post(f"{url(AUTH, stack)}/api/v1/auth/login", json=given).status_code

    def has_been_true() -> bool:
        for name, value in truth.since_its_start(truth.samples(stack, AUTH)).items():
            measured.setdefault(name, set()).add(value)
        shown = cells()
        return all(shown[name] in values for name, values in measured.items())

    def cells() -> dict[str, str]:
        listed = row(page, "services", AUTH.name).locator("td")
        return dict(zip(titles, listed.locator(".text").all_inner_texts(), strict=True))

    page.goto("/")
    titles = page.get_by_role("table", name="services").locator("th").all_inner_texts()
    assert verb(environment, "restart", AUTH.name).returncode == 0
    assert {log_in() for _ in range(5)} == {401}
    os.kill(supervisor.states(stack)["postgres"]["pid"], signal.SIGINT)
    eventually(lambda: log_in() == 503)
    eventually(lambda: supervisor.states(stack)["postgres"]["statename"] == "EXITED")
    supervisor.start_postgres(stack)
    eventually(lambda: log_in() == 401)
    measured: dict[str, set[str]] = {}
    eventually(has_been_true, failure=lambda: f"{cells()} was never true: {measured}")
    assert "0 %" not in measured["Errors"]


def test_one_request_is_followed_from_the_overview_to_its_log_line_by_clicks_alone(page, stack, told):
    page.goto("/")
    row(page, "services", BUDGET.name).locator(".whole").click()
    expect(page).to_have_url(re.compile(r"/metrics\?service=budget-service"))
    dot = page.locator(".chart.broad svg path[fill='#2fa57f']").first
    dot.click(force=True)
    expect(page).to_have_url(re.compile(r"/trace/[0-9a-f]{32}"))
    spans = page.get_by_role("table", name="spans").locator("tbody tr")
    expect(spans.filter(has_text=BUDGET.name).first).to_be_visible()
    with_lines = spans.filter(has_text=re.compile(r"\d+ lines?$|\d+ line")).first
    with_lines.locator(".whole").click()
    line = page.get_by_role("list", name="log lines").get_by_role("link").first
    moment, said = line.inner_text().split(maxsplit=1)
    line.click()
    expect(page).to_have_url(re.compile(r"/logs\?trace=[0-9a-f]{32}"))
    written = page.get_by_role("table", name="log lines, newest first").locator("tbody tr")
    expect(written.filter(has_text=moment).filter(has_text=" ".join(said.split()))).to_have_count(1)


def test_the_waterfall_shows_the_approval_with_its_sql_and_its_audit_entry(page, stack, told):
    def recorded() -> int:
        return sum(span["traceId"] == last_trace(told) for _, span in truth.spans(stack))

    page.goto(f"/trace/{last_trace(told)}")
    spans = page.get_by_role("table", name="spans").locator("tbody tr:not(.detail)")
    eventually(lambda: 8 < recorded() == spans.count())
    for service in ("budget-service", "personnel-service", "system-service"):
        expect(spans.filter(has_text=service).first).to_be_visible()
    spans.filter(has_text="INSERT").filter(has_text="system-service").first.locator(".whole").click()
    expect(page.locator(".detail")).to_contain_text("audit")


def test_traces_are_filtered_and_their_address_can_be_shared(page, stack, told):
    page.goto("/traces")
    listed = page.get_by_role("table", name="traces, newest first").locator("tbody tr")
    expect(listed.filter(has_text="/approve").first).to_be_visible()
    page.get_by_label("Status").fill("401")
    expect(page).to_have_url(re.compile(r"\?status=401$"))
    eventually(lambda: 0 < listed.count() == listed.filter(has_text="401").count())
    count = listed.count()
    page.reload()
    expect(page.get_by_label("Status")).to_have_value("401")
    expect(listed).to_have_count(count)
    page.get_by_label("Service").select_option("budget-service")
    expect(page.get_by_text("No trace of the last hour fits")).to_be_visible()


def test_logs_are_found_by_their_trace_and_open_their_fields(page, stack, told):
    trace_id = last_trace(told)
    written = [
        json.loads(line)
        for file in stack.state.glob("logs/*/combined.log")
        for line in file.read_text().splitlines()
        if trace_id in line
    ]
    page.goto(f"/logs?trace={trace_id}")
    lines = page.get_by_role("table", name="log lines, newest first").locator("tbody tr:not(.detail)")
    expect(lines).to_have_count(len(written))
    lines.first.locator(".whole").click()
    expect(page.locator(".detail")).to_contain_text(trace_id)
    page.get_by_role("link", name="Its trace").click()
    expect(page).to_have_url(re.compile(f"/trace/{trace_id}"))


def test_the_tail_stands_still_while_it_is_paused_or_a_line_is_open(page, stack, told):
    page.goto("/logs?text=no-such-path")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused")).to_be_visible()
    httpx.get(f"{url(AUTH, stack)}/no-such-path-1")
    following = page.context.new_page()
    following.goto("/logs?text=no-such-path")
    expect(row(following, "log lines, newest first", "no-such-path-1")).to_be_visible()
    expect(page.get_by_text("No line of the last hour fits")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    line = row(page, "log lines, newest first", "no-such-path-1").locator(".whole")
    line.click()
    expect(page.get_by_text("standing still")).to_be_visible()
    httpx.get(f"{url(AUTH, stack)}/no-such-path-2")
    expect(row(following, "log lines, newest first", "no-such-path-2")).to_be_visible()
    expect(page.get_by_text("no-such-path-2")).to_have_count(0)
    line.click()
    expect(row(page, "log lines, newest first", "no-such-path-2")).to_be_visible()


def test_metrics_show_the_numbers_of_every_route_and_every_family(page, stack, told):
    def answered() -> str:
        return httpx.get(f"{url(BUDGET, stack)}/metrics").text

    def shown() -> dict[str, str]:
        rows = page.get_by_role("table", name="routes").locator("tbody tr").all()
        return {each.get_attribute("data-id"): each.locator("td").last.inner_text() for each in rows}

    def counted() -> dict[str, str]:
        pattern = r'http_request_duration_seconds_count\{handler="([^"]+)",method="(\w+)"[^}]*\} ([\d.]+)'
        found = re.findall(pattern, answered())
        return {f"{method} {route}": f"{float(count):,.0f}" for route, method, count in found}

    page.goto("/metrics?service=budget-service")
    eventually(lambda: len(counted()) > 5 and shown() == counted(), failure=lambda: f"{shown()} is not {counted()}")
    text = answered()
    families = {name for name in re.findall(r"(?m)^# TYPE (\w+)", text) if not name.endswith("_created")}
    listed = page.get_by_role("table", name="families").locator("tbody tr")
    assert set(listed.evaluate_all("rows => rows.map((row) => row.dataset.id)")) == families
    page.get_by_label("Name or help").fill("outbox")
    expect(page).to_have_url(re.compile(r"\?service=budget-service&search=outbox$"))
    eventually(lambda: 0 < listed.count() == listed.filter(has_text="outbox").count())
    listed.first.locator(".whole").click()
    expect(page.locator(".detail dd").first).to_be_visible()


def test_each_dot_of_the_metrics_is_a_request_of_which_the_service_tells(page, stack, told):
    def missing() -> set[tuple[float, float, str]]:
        drawn = page.evaluate(f"{chart}.getOption().series.at(-1).data")
        return exemplified() - {(*each["value"], each["name"]) for each in drawn}

    def exemplified() -> set[tuple[float, float, str]]:
        told_of = {
            (float(each.exemplar.timestamp), each.exemplar.value, each.exemplar.labels["trace_id"])
            for each in truth.samples(stack, BUDGET)
            if each.name == "http_request_duration_seconds_bucket" and each.exemplar
        }
        return {(round(at * 1000), round(seconds * 1000, 2), trace_id) for at, seconds, trace_id in told_of}

    page.goto("/metrics?service=budget-service")
    element = page.locator(".chart.broad .nicegui-echart")
    chart = f"getElement({element.get_attribute('id').removeprefix('c')}).chart"
    eventually(lambda: len(exemplified()) > 10 and not missing(), failure=lambda: f"no dot for {missing()}")
    at, milliseconds, trace_id = max(exemplified(), key=lambda each: each[1])  # no other is over the slowest
    x, y = page.evaluate(f"{chart}.convertToPixel({{ seriesIndex: 2 }}, [{at}, {milliseconds}])")
    element.click(position={"x": x, "y": y})
    expect(page).to_have_url(re.compile(f"/trace/{trace_id}$"))


def test_the_map_shows_who_calls_whom(page, stack, told):
    page.goto("/map")
    calls = page.get_by_role("table", name="calls").locator("tbody tr")
    expect(calls.filter(has_text="budget-service").filter(has_text="personnel-service").first).to_be_visible()
    expect(calls.filter(has_text="event").filter(has_text="system-service").first).to_be_visible()
    expect(calls.filter(has_text="outside").filter(has_text="auth-service").first).to_be_visible()
    expect(page.locator(".chart.map svg").get_by_text("personnel-service")).to_be_visible()


def test_the_map_says_how_often_how_well_and_how_fast_as_the_spans_do(page, stack, told):
    def wrong() -> list[object]:
        known = truth.calls(stack, SECONDS)
        drawn = page.get_by_role("table", name="calls").locator("tbody tr")
        shown = dict(drawn.evaluate_all(cells))
        return [(name, shown.get(name), each) for name, each in known.items() if not is_shown(each, shown.get(name))]

    def is_shown(each: truth.Calls, cells: list[str] | None) -> bool:
        if not cells:
            return False
        *rate_and_errors, p95 = cells[3:]
        # The page counts durations in buckets, of which each ends a fifth above the one before.
        near = pytest.approx(each.p95(), rel=0.2, abs=0.0002)
        return tuple(rate_and_errors) == each.shown() and seconds_of(p95) == near

    def seconds_of(shown: str) -> float:
        number, unit = shown.split()
        return float(number) * {"s": 1, "ms": 0.001}[unit]

    cells = "rows => rows.map(row => [row.dataset.id, [...row.cells].map(cell => cell.innerText.trim())])"
    page.goto("/map")
    eventually(lambda: not wrong(), failure=lambda: f"shown, and true: {wrong()}")
    assert len(truth.calls(stack, SECONDS)) > 10


def test_the_story_is_played_and_each_step_leads_to_its_trace(page, stack):
    page.goto("/story")
    page.get_by_role("button", name="Play the story").click()
    expect(page.get_by_text(re.compile(r"played at .*, \d+ steps$"))).to_be_visible(timeout=90_000)
    step = row(page, "steps of the story", "approves it")
    step.locator(".whole").click()
    expect(page).to_have_url(re.compile(r"/trace/[0-9a-f]{32}"))
    expect(row(page, "spans", "budget-service")).to_be_visible()


def test_a_service_that_is_killed_turns_red_and_comes_back(page, stack):
    page.goto("/")
    line = row(page, "services", "personnel-service")
    expect(line).to_contain_text("ready")
    os.kill(supervisor.states(stack)["personnel-service"]["pid"], signal.SIGKILL)
    expect(line).to_have_class(re.compile("bad"))
    expect(page.get_by_text("4 of 5 services are ready")).to_be_visible()
    expect(line).not_to_have_class(re.compile("bad"), timeout=60_000)


def test_a_service_that_hangs_is_red_until_it_goes_on(page, stack):
    page.goto("/")
    line = row(page, "services", "tenant-service")
    expect(line).to_contain_text("ready")
    pid = supervisor.states(stack)["tenant-service"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(line).to_have_class(re.compile("bad"))
        expect(line).to_contain_text("TimeoutError")
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(line).not_to_have_class(re.compile("bad"))


def test_a_service_that_was_stopped_is_started_by_its_button(page, stack):
    page.goto("/")
    system = service_named("system")
    line = row(page, "services", system.name)
    supervisor.stop_services(stack, [system])
    expect(line).to_contain_text("stopped")
    expect(line.locator("td").nth(1)).to_have_text("–")  # it was asked for its numbers meanwhile
    page.get_by_role("button", name=f"Restart {system.name}").click()
    expect(line).not_to_have_class(re.compile("bad"), timeout=60_000)
    expect(page.get_by_text("5 of 5 services are ready")).to_be_visible(timeout=60_000)
    in_two_parts = re.compile("^M[^M]+M[^M]+")
    expect(line.locator(".spark path").first).to_have_attribute("d", in_two_parts)


def append(stack: Settings, kind: str, file: str, content: dict[str, Any]) -> None:
    """Write a line to a file of auth's, as auth writes it."""
    with (stack.state / kind / AUTH.name / file).open("ab") as opened:
        opened.write(orjson.dumps(content) + b"\n")


def append_span(stack: Settings, trace_id: str, name: str) -> None:
    """Write a span of auth's, which has ended just now, with its name in an attribute too."""
    now = time.time_ns()
    span = {"traceId": trace_id, "spanId": f"{now:016x}", "name": name, "kind": 2, "startTimeUnixNano": str(now)}
    span |= {"endTimeUnixNano": str(now + 1000), "attributes": [{"key": name, "value": {"stringValue": name}}]}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": AUTH.name}}]}
    append(
        stack, "traces", "spans.jsonl", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    )


def test_what_is_written_of_an_open_trace_appears_and_closes_nothing(page, stack):
    trace_id = "e" * 32
    spans = page.get_by_role("table", name="spans").locator("tbody tr:not(.detail)")
    page.goto(f"/trace/{trace_id}")
    expect(page.get_by_role("heading", name="This trace is not here")).to_be_visible()
    append_span(stack, trace_id, "the first")
    expect(spans).to_have_count(1)
    spans.locator(".whole").click()
    expect(page.locator(".detail dd").filter(has_text="the first")).to_be_visible()
    append_span(stack, trace_id, "the second")
    expect(spans).to_have_count(2)
    expect(page.locator(".facts div").filter(has_text="Spans")).to_contain_text("2")
    expect(page.locator(".detail dd").filter(has_text="the first")).to_be_visible()


def test_what_a_line_or_a_span_says_stays_text(page, stack, told):
    trace_id = "f" * 32
    line = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime()),
        "level": "error",
        "message": HOSTILE,
    }
    line |= {"service": AUTH.name, "trace_id": trace_id, HOSTILE: HOSTILE, "error": {"stack": HOSTILE}}
    append(stack, "logs", "combined.log", line)
    append_span(stack, trace_id, HOSTILE)
    page.goto(f"/logs?trace={trace_id}")
    page.get_by_role("table", name="log lines, newest first").locator(".whole").first.click()
    expect(page.locator(".detail .stack")).to_have_text(SHOWN)
    expect(page.locator(".detail dt").filter(has_text=SHOWN).first).to_be_visible()
    page.goto(f"/traces?text={trace_id}")
    expect(row(page, "traces, newest first", SHOWN)).to_be_visible()
    page.goto(f"/trace/{trace_id}")
    expect(page.get_by_role("heading", name=SHOWN)).to_be_visible()
    page.locator(".whole").first.click()
    expect(page.locator(".detail dd").filter(has_text=SHOWN).first).to_be_visible()
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("view", ["/", "/traces", "/logs", "/metrics", "/map", "/story"])
def test_a_view_fits_a_phone_and_names_what_can_be_clicked(page, stack, told, view):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(view)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    nameless = (
        "[...document.querySelectorAll('a, button')].filter(each => !(each.ariaLabel || each.textContent.trim()))"
    )
    assert page.evaluate(f"{nameless}.length") == 0


def test_keys_lead_to_views_rows_and_the_search(page, stack, told):
    page.goto("/")
    expect(page.get_by_text("services are ready")).to_be_visible()
    page.keyboard.type("gt")
    expect(page).to_have_url(re.compile("/traces$"))
    expect(page.locator(".whole").first).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Route")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.type("jj")
    expect(page.locator(".whole").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/trace/"))
    page.keyboard.type("?")
    expect(page.get_by_role("dialog", name="keys")).to_be_visible()


def test_the_colours_follow_the_system_until_others_are_chosen(page, stack):
    page.emulate_media(color_scheme="dark")
    page.goto("/")
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    page.get_by_role("button", name="Dark or light").click()
    expect(page.locator("body")).to_have_class(re.compile("body--light"))
    page.reload()
    expect(page.locator("body")).to_have_class(re.compile("body--light"))


def test_another_name_of_this_machine_is_refused(stack):
    assert httpx.get(home(stack), headers={"Host": "evil.example"}).status_code == 403
    assert httpx.get(home(stack), headers={"Origin": "http://evil.example"}).status_code == 403


def test_pictures(page, stack):
    if not os.environ.get("SCREENSHOTS"):
        pytest.skip("SCREENSHOTS=1 writes them")
    page.goto("/story")
    if page.get_by_role("button", name="Start").is_enabled():  # with locust
        page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Play the story").click()
    expect(page.get_by_text(re.compile(r"played at .*, \d+ steps$"))).to_be_visible(timeout=120_000)
    approved = row(page, "steps of the story", "approves it").locator(".whole").get_attribute("href")
    views = {"overview": "/", "traces": "/traces", "trace": approved, "logs": "/logs", "map": "/map", "story": "/story"}
    for name, where in (views | {"metrics": "/metrics?service=budget-service"}).items():
        page.goto(where)
        page.wait_for_timeout(3000)
        if name == "trace":
            row(page, "spans", "UPDATE allocations").locator(".whole").click()
            page.wait_for_timeout(500)
            page.evaluate("scrollTo(0, 0)")
        file = ROOT / "dev-environment/page" / f"{name}.png"
        page.screenshot(path=file)
        assert file.stat().st_size < 200_000
    page.goto("/story")
    if page.get_by_role("button", name="Stop").is_enabled():
        page.get_by_role("button", name="Stop").click()


def test_a_browser_that_stays_open_is_told_and_comes_back(chromium, environment, stack):
    opened = chromium.new_page(base_url=home(stack))
    opened.goto("/")
    expect(opened.get_by_text("5 of 5 services are ready")).to_be_visible(timeout=MILLISECONDS)
    assert verb(environment, "down").returncode == 0
    expect(opened.get_by_text("The page has ended")).to_be_visible(timeout=MILLISECONDS)
    assert "Traceback" not in (stack.run / "page.out").read_text()
    assert verb(environment, "up").returncode == 0
    expect(opened.get_by_text("The page has ended")).to_be_hidden(timeout=60_000)
    expect(opened.get_by_text("5 of 5 services are ready")).to_be_visible(timeout=MILLISECONDS)
