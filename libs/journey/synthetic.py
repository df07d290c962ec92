"""The synthetic user: works in a tenant of its own, which is found again by its code, and leaves hardly any rows.

What it creates once: the tenant, its administrator, who is its only employee, an allocation, and a user of the platform
who may see tenants and nothing else. Their passwords follow from that of the platform's administrator, so that nothing
has to be stored. What it does again and again is made to leave little: a request with the key of an earlier one creates
nothing, and renewed sessions have no event, so only logins and one request a day add to the audit trail, which is kept
for ever.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from libs.journey import steps
from libs.journey.client import Actor, Answer, Api, UnexpectedAnswer
from libs.journey.people import Person

CODE = "synthetic-user"
LOGIN_SECONDS = 3600.0
"""After this time it logs in anew: each login is an entry in the audit trail."""
MOST_TENANTS = 20
"""How many tenants it creates at most: one that could not be provisioned is closed, and keeps its code."""
AMOUNT = "1.00"


@dataclass
class Session:
    """The two users, logged in, and what they work with."""

    api: Api
    user: Actor
    observer: Actor
    """A user of the platform who may see tenants."""
    tenant_id: str
    allocation_id: str
    ends_at: float
    """When the user logs in anew, by the monotonic clock."""

    def renew(self) -> None:
        """Get the user a new access token, as a client does whose own has expired."""
        self.user.renew()
        self.observer.fresh_token()

    def see_tenant(self) -> Answer:
        """The observer looks at the tenant."""
        path = f"/api/v1/tenants/{self.tenant_id}"
        return self.api.call("tenant", "GET", path, token=self.observer.token, expect=200)

    def see_own_record(self) -> Answer:
        """The user looks at their own record."""
        return self.api.call("personnel", "GET", "/api/v1/employees/me", token=self.user.token, expect=200)

    def request_expenditure(self) -> Answer:
        """The user requests today's expenditure; budget asks personnel about them, and creates it the first time only."""
        wanted = {"allocation_id": self.allocation_id, "amount": AMOUNT, "purpose": "To see that it can be requested"}
        key = f"{CODE} {datetime.now(UTC).date()}"
        path = "/api/v1/expenditures"
        return self.api.call("budget", "POST", path, token=self.user.token, json=wanted, key=key, expect=201)

    def find_login(self) -> None:
        """The user finds their login in the audit trail, to which an event has brought it."""
        wanted = {"trace_id": self.user.login.trace_id, "limit": 1}

        def found() -> Any:
            path = "/api/v1/audit-entries"
            return self.api.call("system", "GET", path, token=self.user.token, params=wanted).body["items"] or None

        steps.until(found, HEARD_WITHIN_SECONDS, "the audit trail lacks the login")


HEARD_WITHIN_SECONDS = 10.0


def log_in(api: Api, environment: Mapping[str, str]) -> Session:
    """Log both users in, and create what is missing.

    Raises `UnexpectedAnswer`, `Unreachable` or `StepFailed` at what does not succeed; the next call continues there.
    """
    platform = cache(lambda: steps.log_in_to_platform(api, environment))
    observer, user = (_person(environment, name) for name in ("Observer", "Synthetic user"))
    observing = _enter(api, "platform", observer, lambda: _admit_observer(platform(), observer))
    tenant = _find_tenant(observing) or _create_tenant(api, platform())
    steps.wait_until_active(observing, tenant["id"])
    using = _enter(api, tenant["code"], user, lambda: _once(steps.create_first_admin, platform(), tenant["id"], user))
    _employ(using, user)
    return Session(api, using, observing, tenant["id"], _allocation(using), time.monotonic() + LOGIN_SECONDS)


def _person(environment: Mapping[str, str], name: str) -> Person:
    secret = environment.get("BOOTSTRAP__ADMIN_PASSWORD") or steps.ADMIN_PASSWORD
    email = f"{name.lower().replace(' ', '.')}@{CODE}.example"
    password = hmac.new(secret.encode(), email.encode(), hashlib.sha256).hexdigest()
    return Person(name, email, password, title="Synthetic user", department="root")


def _enter(api: Api, tenant: str, person: Person, admit: Callable[[], object]) -> Actor:
    try:
        return steps.log_in_once_active(api, tenant, person)
    except UnexpectedAnswer as error:
        if error.answer.status != 401:
            raise
    admit()
    return steps.log_in_once_active(api, tenant, person)


def _admit_observer(platform: Actor, person: Person) -> None:
    role = {"name": "synthetic user", "permissions": ["tenants:read"]}
    _once(platform.create, "auth", "/api/v1/roles", role)
    _once(steps.create_user, platform, person, role["name"])


def _find_tenant(observer: Actor) -> dict[str, Any] | None:
    """The tenant, if there is one that is not closed."""
    return next((each for each in _tenants(observer) if each["status"] in ("provisioning", "active")), None)


def _tenants(reader: Actor) -> list[dict[str, Any]]:
    all_tenants = steps.pages(reader, "tenant", "/api/v1/tenants")
    return [each for each in all_tenants if re.fullmatch(rf"{CODE}(-\d+)?", each["code"])]


def _create_tenant(api: Api, platform: Actor) -> dict[str, Any]:
    closed = len(_tenants(platform))
    if closed >= MOST_TENANTS:
        raise steps.StepFailed(f"{closed} tenants of the synthetic user are closed, so no more are created")
    api.check_ready()  # a tenant that a service does not prepare in time is closed
    wanted = {"code": f"{CODE}-{closed + 1}" if closed else CODE, "name": "Synthetic user"}
    return platform.create("tenant", "/api/v1/tenants", wanted).body


def _employ(user: Actor, person: Person) -> None:
    try:
        user.get("personnel", "/api/v1/employees/me")
    except UnexpectedAnswer as error:
        if error.answer.status != 404:
            raise
        (own,) = steps.pages(user, "auth", "/api/v1/users")
        root = _first(user, "personnel", "/api/v1/departments")
        steps.hire(user, "1", person, root["id"], own["id"])


def _allocation(user: Actor) -> str:
    if found := _first(user, "budget", "/api/v1/allocations"):
        return found["id"]
    year = _first(user, "budget", "/api/v1/fiscal-years") or steps.open_fiscal_year(user).body
    account = _first(user, "budget", "/api/v1/accounts") or steps.open_account(user, "synthetic", "Synthetic").body
    return steps.allocate(user, year["id"], account["id"], AMOUNT).body["id"]


def _first(reader: Actor, service: str, path: str) -> Any:
    return next(iter(reader.get(service, path).body["items"]), None)


def _once(create: Callable[..., Answer], *arguments: Any) -> None:
    """Create what may be there already."""
    try:
        create(*arguments)
    except UnexpectedAnswer as error:
        if error.answer.status != 409:
            raise
