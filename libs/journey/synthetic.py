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
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from libs.contracts.auth import UserLoggedIn
from libs.journey import steps
from libs.journey.client import Actor, Answer, Api, UnexpectedAnswer
from libs.journey.people import Person

CODE = "synthetic-user"
LOGIN_SECONDS = 3600.0
"""After this time it logs in anew: each login is an entry in the audit trail."""
HEARD_WITHIN_SECONDS = 10.0
MOST_TENANTS = 20
"""How many tenants it creates at most: one that could not be provisioned is closed, and keeps its code."""
AMOUNT = "1.00"


class TenantsUsedUp(Exception):
    """Somebody has to find out why its tenants are closed."""

    service = "tenant"


class SyntheticUser:
    """What the user does, in the order in which it is done. `environment` has the login of the platform's administrator.

    Everything raises `UnexpectedAnswer`, `Unreachable`, `StepFailed` or `TenantsUsedUp` where a service fails; what has been
    created by then is found the next time.
    """

    user: Actor
    observer: Actor
    """A user of the platform who may see tenants."""

    def __init__(self, api: Api, environment: Mapping[str, str]) -> None:
        self._api = api
        self._environment = environment
        self._tenant: dict[str, Any] | None = None
        self._allocation_id: str | None = None
        self._logged_in_at = float("-inf")

    def is_due_to_log_in(self) -> bool:
        """Whether the last login was long ago, or there was none."""
        return time.monotonic() - self._logged_in_at > LOGIN_SECONDS

    def log_in(self) -> None:
        """Log in to the platform and to the tenant; create the users and the tenant if they are not there."""
        platform = cache(lambda: steps.log_in_to_platform(self._api, self._environment))
        observer, user = (_person(self._environment, name) for name in ("Observer", "Synthetic user"))
        self.observer = _enter(self._api, "platform", observer, lambda: _admit_observer(platform(), observer))
        if self._tenant is None:
            tenant = _find_tenant(self.observer) or _create_tenant(self._api, platform())
            steps.wait_until_active(self.observer, tenant["id"])
            self._tenant, self._allocation_id = tenant, None
        tenant = self._tenant
        try:
            self.user = _enter(
                self._api, tenant["code"], user, lambda: _admit_user(self._api, platform(), tenant, user)
            )
        except UnexpectedAnswer as error:
            if not error.is_passing:
                self._tenant = None  # it may be closed: the next login looks for it again
            raise
        self._logged_in_at = time.monotonic()

    def renew_session(self) -> None:
        """Get the user a new access token, as a client does whose own has expired."""
        self.user.renew()
        self.observer.fresh_token()

    def see_tenant(self) -> Answer:
        """The observer looks at the tenant."""
        assert self._tenant
        return self._call(self.observer, "tenant", "GET", f"/api/v1/tenants/{self._tenant['id']}")

    def see_own_record(self) -> Answer:
        """The user looks at their own record; the first time, they have to be hired."""
        try:
            return self._call(self.user, "personnel", "GET", "/api/v1/employees/me")
        except UnexpectedAnswer as error:
            if error.answer.status != 404:
                raise
        person = _person(self._environment, "Synthetic user")
        own = next(each for each in steps.pages(self.user, "auth", "/api/v1/users") if each["email"] == person.email)
        root = _first(self.user, "personnel", "/api/v1/departments")
        return steps.hire(self.user, "1", person, root["id"], own["id"])

    def request_expenditure(self) -> Answer:
        """The user requests today's expenditure; budget asks personnel about them, and creates it the first time only."""
        if self._allocation_id is None:
            self._allocation_id = _allocation(self.user)
        wanted = {"allocation_id": self._allocation_id, "amount": AMOUNT, "purpose": "To see that it can be requested"}
        key = f"{CODE} {datetime.now(UTC).date()}"
        return self._call(self.user, "budget", "POST", "/api/v1/expenditures", json=wanted, key=key, expect=201)

    def find_login(self) -> None:
        """The user finds their last login in the audit trail, to which an event has brought it, as it does once an hour."""
        wanted = {"trace_id": self.user.login.trace_id, "type": UserLoggedIn.type, "limit": 1}

        def found() -> Any:
            answer = self._call(self.user, "system", "GET", "/api/v1/audit-entries", params=wanted)
            return answer.body["items"] or None

        steps.until("system", found, HEARD_WITHIN_SECONDS, "the audit trail lacks the login", pause=1.0)

    def _call(self, who: Actor, service: str, method: str, path: str, **request: Any) -> Answer:
        # Without a look at the token's age: that auth does not renew it is no failure of this service.
        return self._api.call(service, method, path, token=who.token, **request)


def _person(environment: Mapping[str, str], name: str) -> Person:
    secret = environment.get("BOOTSTRAP__ADMIN_PASSWORD") or steps.ADMIN_PASSWORD
    email = f"{name.lower().replace(' ', '.')}@{CODE}.example"
    password = hmac.new(secret.encode(), email.encode(), hashlib.sha256).hexdigest()
    return Person(name, email, password, title="Synthetic user", department="root")


def _enter(api: Api, tenant: str, person: Person, admit: Callable[[], object]) -> Actor:
    try:
        return steps.log_in(api, tenant, person)
    except UnexpectedAnswer as error:
        if error.answer.status != 401:
            raise
    admit()
    return steps.log_in_once_active(api, tenant, person)


def _admit_observer(platform: Actor, person: Person) -> None:
    role = {"name": "synthetic user", "permissions": ["tenants:read"]}
    _once(platform.create, "auth", "/api/v1/roles", role)
    if not _once(steps.create_user, platform, person, role["name"]):
        # Their password follows from another one of the administrator's.
        steps.use_reset(platform.api, steps.reset_password(platform, person), person)


def _admit_user(api: Api, platform: Actor, tenant: Mapping[str, Any], person: Person) -> None:
    if _once(steps.create_first_admin, platform, tenant["id"], person):
        return
    # Their password follows from another of the administrator's: only an administrator of their tenant may reset it.
    helper = replace(person, email=f"{secrets.token_hex(8)}@{CODE}.example", password=secrets.token_hex(16))
    created = steps.create_first_admin(platform, tenant["id"], helper)
    admin = steps.log_in_once_active(api, tenant["code"], helper)
    try:
        steps.use_reset(api, steps.reset_password(admin, person), person)
    finally:
        admin.call("auth", "PATCH", f"/api/v1/users/{created.body['id']}", json={"is_active": False}, if_match="*")


def _find_tenant(observer: Actor) -> dict[str, Any] | None:
    """The newest tenant that is not closed."""
    return next((each for each in _tenants(observer) if each["status"] in ("provisioning", "active")), None)


def _tenants(reader: Actor) -> list[dict[str, Any]]:
    all_tenants = steps.pages(reader, "tenant", "/api/v1/tenants")
    return [each for each in all_tenants if re.fullmatch(rf"{CODE}(-\d+)?", each["code"])]


def _create_tenant(api: Api, platform: Actor) -> dict[str, Any]:
    closed = len(_tenants(platform))
    if closed >= MOST_TENANTS:
        raise TenantsUsedUp(f"{closed} tenants of the synthetic user are closed, so no more are created")
    api.check_ready()  # a tenant that a service does not prepare in time is closed
    wanted = {"code": f"{CODE}-{closed + 1}" if closed else CODE, "name": "Synthetic user"}
    return platform.create("tenant", "/api/v1/tenants", wanted).body


def _allocation(user: Actor) -> str:
    if found := _first(user, "budget", "/api/v1/allocations"):
        return found["id"]
    year = _first(user, "budget", "/api/v1/fiscal-years") or steps.open_fiscal_year(user).body
    account = _first(user, "budget", "/api/v1/accounts") or steps.open_account(user, "synthetic", "Synthetic").body
    return steps.allocate(user, year["id"], account["id"], AMOUNT).body["id"]


def _first(reader: Actor, service: str, path: str) -> Any:
    return next(iter(reader.get(service, path).body["items"]), None)


def _once(create: Callable[..., Answer], *arguments: Any) -> bool:
    """Create what may be there already. Returns whether it was not."""
    try:
        create(*arguments)
    except UnexpectedAnswer as error:
        if error.answer.status != 409:
            raise
        return False
    return True
