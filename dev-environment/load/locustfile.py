"""Steady, realistic traffic: three companies at work, with a few human mistakes.

`make load` runs it in a separate process, because locust patches the standard library on import.
"""

import logging
import os
import secrets
from decimal import Decimal
from random import Random
from typing import Any, ClassVar
from uuid import uuid4

from locust import User, constant_throughput, events, task
from locust.env import Environment
from locust.exception import StopUser

from libs.journey import people, steps, story
from libs.journey.client import Actor, Answer, Api, UnexpectedAnswer, Unreachable, urls
from libs.journey.people import Person

COMPANIES = 3
LITTLE = Decimal(1000)
# Tasks a second of each simulated person; most tasks are one or two requests.
RATE = float(os.environ.get("RATE") or 1.0)

# locust prints the program's log lines, and httpx would log every request.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("stamina").setLevel(logging.ERROR)

opened: list[story.Tenant] = []


@events.test_start.add_listener  # pyright: ignore[reportUnknownMemberType]
def open_companies(environment: Environment, **_: Any) -> None:
    """Create the companies whose people will work; stop if the stack is not running."""
    api = Api(urls())
    try:
        api.check_ready()
        platform = steps.log_in_to_platform(api, os.environ)
        for seed in range(COMPANIES):
            opened.append(story.play(api, platform, people.company(seed + 100, secrets.token_hex(3))))
            print(f"{opened[-1].company.name} is open")
    except (Unreachable, UnexpectedAnswer, steps.StepFailed) as error:
        print(f"No load: {error}")
        environment.process_exit_code = 1
        if environment.runner:
            environment.runner.quit()


class Employee(User):
    """Somebody at work in one of the companies; who they are varies from task to task."""

    environment: Environment
    wait_time = constant_throughput(RATE)
    _joined: ClassVar[int] = 0

    def on_start(self) -> None:
        """Join a company; users are distributed over the companies in turn."""
        if not opened:
            raise StopUser
        self.random = Random(Employee._joined)
        self.company = opened[Employee._joined % len(opened)]
        Employee._joined += 1
        self.api = Api(urls(), self._count)
        mine = self.company
        self.admin, self.manager, self.member = (
            Actor(self.api, actor.name, self._log_in(person))
            for actor, person in (
                (mine.admin, mine.company.admin),
                (mine.manager, mine.company.manager),
                (mine.member, mine.company.member),
            )
        )

    @task(12)
    def look_at_the_budget(self) -> None:
        """Fetch the list of allocations and one of them."""
        found = self.member.get("budget", "/api/v1/allocations").body["items"]
        self.member.get("budget", f"/api/v1/allocations/{self.random.choice(found)['id']}")

    @task(8)
    def look_at_expenditures(self) -> None:
        """Fetch the first page, as most people do."""
        self.manager.get("budget", "/api/v1/expenditures", params={"limit": 20})

    @task(8)
    def look_at_people(self) -> None:
        """List the employees of a department."""
        department = self.random.choice(list(self.company.departments.values()))
        self.admin.get("personnel", "/api/v1/employees", params={"department_id": department, "limit": 20})

    @task(5)
    def log_in_and_out(self) -> None:
        """Start a session and end it at once."""
        answer = self._log_in(self.company.company.member)
        self.api.call("auth", "POST", "/api/v1/auth/logout", json={"refresh_token": answer.body["refresh_token"]})

    @task(8)
    def spend(self) -> None:
        """Request an expenditure, and approve most of them."""
        requested = self._request(people.amount(self.random, among=(1, 2, 3)))
        if self.random.random() < 0.8:
            steps.approve(self.manager, requested)
        else:
            steps.reject(self.manager, requested, "Not this quarter")

    @task(2)
    def hire(self) -> None:
        """Hire one more employee."""
        newcomer = people.company(self.random.randrange(1000), secrets.token_hex(3)).staff[0]
        steps.hire(self.admin, f"L{secrets.token_hex(4)}", newcomer, self.company.departments[newcomer.department])

    @task(3)
    def search_the_audit_trail(self) -> None:
        """List approved expenditures."""
        wanted = {"type": "expenditure.approved.v1", "limit": 20}
        self.admin.get("system", "/api/v1/audit-entries", params=wanted)

    @task(1)
    def raise_what_is_used_up(self) -> None:
        """Raise allocations that are nearly used up, so that the work never ends."""
        for each in self.admin.get("budget", "/api/v1/allocations").body["items"]:
            if Decimal(each["available"]) < LITTLE:
                more = {"amount": str(Decimal(each["amount"]) + 10 * LITTLE)}
                self.admin.call("budget", "PATCH", f"/api/v1/allocations/{each['id']}", json=more, if_match="*")

    @task(2)
    def make_a_mistake(self) -> None:
        """Send a wrong password, an old version, too large an amount, or an unknown id."""
        self.random.choice((self._mistype_password, self._use_old_version, self._overspend, self._miss))()

    def _mistype_password(self) -> None:
        self._log_in(self.company.company.member, mistake="?")

    def _use_old_version(self) -> None:
        requested = self._request(people.amount(self.random, among=(1, 2, 3)))
        steps.approve(self.manager, requested, if_match='"999"', expect=412)
        steps.reject(self.manager, requested, "Changed meanwhile")

    def _overspend(self) -> None:
        requested = self._request("99999999.00")
        steps.approve(self.manager, requested, expect=409)
        steps.reject(self.manager, requested, "More than the account holds")

    def _miss(self) -> None:
        self.member.get("budget", f"/api/v1/allocations/{uuid4()}", expect=404)

    def _request(self, amount: str) -> Answer:
        allocation = self.random.choice(list(self.company.allocations.values()))
        return steps.request_expenditure(self.member, allocation, amount, people.purpose(self.random))

    def _log_in(self, person: Person, mistake: str = "") -> Answer:
        wanted = {"tenant": self.company.company.code, "email": person.email, "password": person.password + mistake}
        return self.api.call("auth", "POST", "/api/v1/auth/login", json=wanted, expect=401 if mistake else 200)

    def _count(self, answer: Answer, error: Exception | None) -> None:
        """Report a response to locust under its route; an expected refusal does not count as a failure."""
        refusal = f" -> {answer.status}" if answer.status >= 400 else ""
        self.environment.events.request.fire(  # pyright: ignore[reportUnknownMemberType]
            request_type=answer.method,
            name=f"{answer.service} {answer.route}{refusal}",
            response_time=answer.seconds * 1000,
            response_length=int(answer.headers.get("content-length", 0)),
            exception=error,
            context={},
        )
