"""The load: people of a few tenants who request, approve and hire at a steady pace, and keep a ledger of it."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from libs.journey import people, steps, story
from libs.journey.client import Actor, Answer, Api, UnexpectedAnswer, Unreachable
from tests.chaos.books import Found, Write
from tests.chaos.report import Attempt

PAUSE_SECONDS = 0.25
RETRY_SECONDS = 0.5
CLEAR_WITHIN_SECONDS = 60.0
"""How long after the end of a run an answer is still asked for."""
HEARD_WITHIN_SECONDS = 60.0
WIDE, TIGHT = "10000000.00", "500.00"
"""The allocations of each tenant: one for all of the run, and one that is used up soon, at which approvals meet."""
LOGIN = "/api/v1/auth/login"
PLACES = {"expenditure": ("budget", "/api/v1/expenditures"), "employee": ("personnel", "/api/v1/employees")}


class GaveUp(Exception):
    """The run is over, and there is still no clear answer."""


@dataclass
class Office:
    """A tenant at work: its people, and the allocations to spend from."""

    tenant: story.Tenant
    wide: str
    tight: str


class Load:
    """Writers that work while it is `running`, each as one person does: one request after another."""

    def __init__(self, urls: Mapping[str, str], login: Mapping[str, str], tenants: int, writers: int) -> None:
        self.attempts: list[Attempt] = []
        self.ledger: list[Write] = []
        self.surprises: list[str] = []
        """Answers that no fault explains."""
        self._patient = Api(urls)
        self._platform = steps.log_in_to_platform(self._patient, login)
        admin = {"email": login["BOOTSTRAP__ADMIN_EMAIL"], "password": login["BOOTSTRAP__ADMIN_PASSWORD"]}
        self.platform = Desk({"tenant": "platform", **admin}, self._platform)
        self.offices = [self._open(number) for number in range(tenants)]
        # Each attempt is counted, so the client must not repeat any.
        self._api = Api(urls, attempts=1)
        self._over, self._given_up = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(self.offices[number % tenants], Random(number)), daemon=True)
            for number in range(writers)
        ]

    def _open(self, number: int) -> Office:
        tenant = story.play(self._patient, self._platform, people.company(number + 500, secrets.token_hex(3)))
        year = next(iter(steps.pages(tenant.admin, "budget", "/api/v1/fiscal-years")))
        ids = [
            steps.allocate(
                tenant.admin, year["id"], steps.open_account(tenant.admin, code, code).body["id"], amount
            ).body["id"]
            for code, amount in (("wide", WIDE), ("tight", TIGHT))
        ]
        return Office(tenant, *ids)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Work until the end, then wait for the answers that are not clear yet."""
        for each in self._threads:
            each.start()
        try:
            yield self
            self._over.set()
            deadline = time.monotonic() + CLEAR_WITHIN_SECONDS
            for each in self._threads:
                each.join(max(deadline - time.monotonic(), 0))
        finally:
            self._over.set()
            self._given_up.set()

    def _work(self, office: Office, random: Random) -> None:
        writer = Writer(self, office, random)
        while not self._over.wait(PAUSE_SECONDS):
            try:
                writer.do_something()
            except GaveUp:
                return
            except Exception as error:
                self.surprises.append(f"a writer has ended: {error!r}")
                raise

    def attempt(self, token: str, service: str, method: str, path: str, **request: Any) -> Answer | None:
        """Send a request once, and note it. Returns the answer if it is a clear one."""
        at = time.time()
        started, failure, answer = time.monotonic(), "", None
        try:
            answer = self._api.call(service, method, path, token=token, **request)
        except UnexpectedAnswer as error:
            answer = error.answer
            if error.is_passing or "retry-after" in answer.headers:
                answer, failure = None, str(error.answer.status)
        except Unreachable as error:
            failure = str(error)
        self.attempts.append(Attempt(at, time.monotonic() - started, service, failure))
        return answer

    def until_clear(self, person: "Desk", service: str, method: str, path: str, **request: Any) -> tuple[Answer, bool]:
        """Send a request until its answer is clear; returns it, and whether there were unclear ones before."""
        was_unclear = False
        while True:
            answer = self.attempt(person.token, service, method, path, **request)
            if answer and (answer.status != 401 or path == LOGIN):
                return answer, was_unclear
            if answer:
                person.log_in(self)
            else:
                was_unclear = True
            if self._given_up.wait(RETRY_SECONDS):
                raise GaveUp

    def found(self) -> dict[str, Found]:
        """What the services show of each tenant, as soon as the audit trail is complete, or after a minute."""
        return {each.tenant.company.code: self._found(each.tenant) for each in self.offices}

    def _found(self, tenant: story.Tenant) -> Found:
        reader = steps.log_in(self._patient, tenant.company.code, tenant.company.admin)
        lists = {
            path: list(steps.pages(reader, service, f"/api/v1/{path}"))
            for service, path in (("budget", "expenditures"), ("personnel", "employees"), ("budget", "allocations"))
        }
        found = Found(*lists.values(), entries=Counter())
        deadline = time.monotonic() + HEARD_WITHIN_SECONDS
        while True:
            trail = steps.pages(reader, "system", "/api/v1/audit-entries")
            found.entries = Counter((each["type"], each["entity_id"]) for each in trail)
            if found.events() <= found.entries.keys() or time.monotonic() > deadline:
                return found
            time.sleep(1)


class Desk:
    """A person's login, and the access token that they work with."""

    def __init__(self, login: Mapping[str, str], actor: Actor) -> None:
        self._login = login
        self.token = actor.token

    def log_in(self, load: Load) -> None:
        """Begin a new session."""
        answer, _ = load.until_clear(self, "auth", "POST", LOGIN, json=self._login)
        if answer.status == 200:
            self.token = answer.body["access_token"]
        else:
            load.surprises.append(f"a login was answered {answer.status}: {answer.body}")


class Writer:
    """One writer: what it does, and in which share."""

    def __init__(self, load: Load, office: Office, random: Random) -> None:
        self._load, self._office, self._random = load, office, random
        mine = office.tenant
        self._admin, self._manager, self._member = (
            Desk({"tenant": mine.company.code, "email": person.email, "password": person.password}, actor)
            for person, actor in (
                (mine.company.admin, mine.admin),
                (mine.company.manager, mine.manager),
                (mine.company.member, mine.member),
            )
        )

    def do_something(self) -> None:
        """One piece of work."""
        shares = {self._spend: 10, self._hire: 3, self._read: 5, self._log_in: 1}
        self._random.choices([*shares], [*shares.values()])[0]()

    def _begin(self, kind: str) -> Write:
        write = Write(f"chaos-{secrets.token_hex(10)}", kind, self._office.tenant.company.code, time.time())
        self._load.ledger.append(write)
        return write

    def _create(self, who: Desk, write: Write, wanted: Mapping[str, Any]) -> Answer | None:
        service, path = PLACES[write.kind]
        answer, _ = self._load.until_clear(who, service, "POST", path, json=wanted, key=write.key)
        if answer.status == 201:
            write.id = answer.body["id"]
            return answer
        self._load.surprises.append(f"{path} was answered {answer.status}: {answer.body}")
        return None

    def _spend(self) -> None:
        """Request an expenditure; approve most of them."""
        write = self._begin("expenditure")
        allocation = self._random.choices([self._office.wide, self._office.tight], [9, 1])[0]
        amount = people.amount(self._random, among=(1, 2, 3))
        wanted = {"allocation_id": allocation, "amount": amount, "purpose": write.key}
        if requested := self._create(self._member, write, wanted):
            write.states = {"requested"}
            if self._random.random() < 0.8:
                self._decide(write, requested, "approve", {"approved"})
            elif self._random.random() < 0.5:
                self._decide(write, requested, "reject", {"rejected"}, json={"reason": "Not this quarter"})

    def _decide(self, write: Write, seen: Answer, verb: str, states: set[str], **request: Any) -> None:
        path = f"/api/v1/expenditures/{write.id}"
        write.at, write.states = time.time(), write.states | states
        answer, was_unclear = self._load.until_clear(
            self._manager, "budget", "POST", f"{path}/{verb}", if_match=seen.etag, **request
        )
        if was_unclear and answer.status in (409, 412):  # an earlier attempt may have been carried out
            answer, _ = self._load.until_clear(self._manager, "budget", "GET", path)
        if answer.status == 200:
            write.states = {answer.body["status"]}
        elif answer.problem == "budget-exceeded":
            write.states = {"requested"}
        else:
            self._load.surprises.append(f"{path}/{verb} was answered {answer.status}: {answer.body}")

    def _hire(self) -> None:
        write = self._begin("employee")
        department = self._random.choice([*self._office.tenant.departments.values()])
        wanted = {
            "number": write.key,
            "name": "Hired In Trouble",
            "email": f"{write.key}@{self._office.tenant.company.code}.example",
            "appointment": {"department_id": department, "title": "Clerk", "starts_on": f"{steps.this_year()}-01-01"},
        }
        if self._create(self._admin, write, wanted):
            write.states = {"hired"}

    def _read(self) -> None:
        """Read back something that was acknowledged, or what the other services have."""
        tenant = self._office.tenant
        choices = [
            (self._load.platform, "tenant", f"/api/v1/tenants/{tenant.tenant_id}"),
            (self._admin, "system", "/api/v1/audit-entries"),
            (self._admin, "auth", "/api/v1/users"),
        ]
        for each in reversed(self._load.ledger):
            if each.id and each.tenant == tenant.company.code:
                choices += 3 * [(self._admin, *PLACES[each.kind], each.id)]
                break
        who, service, path, *identity = self._random.choice(choices)
        path = "/".join((path, *identity))
        answer = self._load.attempt(who.token, service, "GET", path)
        if answer and answer.status == 401:
            who.log_in(self._load)
        elif answer and answer.status != 200:
            self._load.surprises.append(f"GET {path} was answered {answer.status}: {answer.body}")

    def _log_in(self) -> None:
        self._random.choice((self._admin, self._manager, self._member)).log_in(self._load)
