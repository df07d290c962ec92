"""The steps of the story as plain functions. The first parameter is who acts; the result is the answer."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from libs.journey.client import Actor, Answer, Api, UnexpectedAnswer
from libs.journey.people import Company, Person

Found = TypeVar("Found")

# As in .env.example.
ADMIN_EMAIL = "admin@platform.example"
ADMIN_PASSWORD = "all-erp-administrator"

ACTIVE_WITHIN_SECONDS = 60.0
HEARD_WITHIN_SECONDS = 30.0


class StepFailed(Exception):
    """The stack answers, but the story cannot continue: `service` has not done its part."""

    def __init__(self, service: str, message: str) -> None:
        super().__init__(message)
        self.service = service


def log_in(api: Api, tenant: str, person: Person) -> Actor:
    """A person logs in to the tenant with this code."""
    wanted = {"tenant": tenant, "email": person.email, "password": person.password}
    return Actor(api, person.name, api.call("auth", "POST", "/api/v1/auth/login", json=wanted))


def log_in_to_platform(api: Api, environment: Mapping[str, str]) -> Actor:
    """The platform's administrator logs in with BOOTSTRAP__ADMIN_EMAIL and BOOTSTRAP__ADMIN_PASSWORD."""
    email = environment.get("BOOTSTRAP__ADMIN_EMAIL") or ADMIN_EMAIL
    password = environment.get("BOOTSTRAP__ADMIN_PASSWORD") or ADMIN_PASSWORD
    return log_in(api, "platform", Person("Platform admin", email, password, title="", department=""))


def log_in_once_active(api: Api, tenant: str, person: Person) -> Actor:
    """The first login of a new tenant, which may have to wait until auth has heard that the tenant is active."""

    def let_in() -> Actor | None:
        try:
            return log_in(api, tenant, person)
        except UnexpectedAnswer as error:
            if error.answer.problem != "tenant-not-active":
                raise
            return None

    return until("auth", let_in, HEARD_WITHIN_SECONDS, "auth does not let the new tenant in")


def create_tenant(platform: Actor, company: Company) -> Answer:
    """The platform's administrator creates the tenant, and every service begins to prepare for it."""
    return platform.create("tenant", "/api/v1/tenants", {"code": company.code, "name": company.name})


def wait_until_active(platform: Actor, tenant_id: str) -> Answer:
    """Wait until the saga ends. Raises `StepFailed` when the tenant is closed or is not active in time."""

    def decided() -> Answer | None:
        answer = platform.get("tenant", f"/api/v1/tenants/{tenant_id}")
        return answer if answer.body["status"] != "provisioning" else None

    answer = until("tenant", decided, ACTIVE_WITHIN_SECONDS, "the tenant is not provisioned")
    if answer.body["status"] != "active":
        raise StepFailed("tenant", f"the tenant is {answer.body['status']}: {answer.body['reason']}")
    return answer


def create_first_admin(platform: Actor, tenant_id: str, person: Person) -> Answer:
    """The platform's administrator creates the first administrator of a tenant."""
    wanted = {"email": person.email, "name": person.name, "password": person.password}
    return platform.create("auth", f"/api/v1/tenants/{tenant_id}/admins", wanted)


def create_user(admin: Actor, person: Person, role: str) -> Answer:
    """An administrator creates a user with one role."""
    wanted = {"email": person.email, "name": person.name, "password": person.password, "roles": [role]}
    return admin.create("auth", "/api/v1/users", wanted)


def change_password(user: Actor, current: str, wanted: str) -> Answer:
    """A user replaces the password that somebody else has chosen; they stay logged in."""
    given = {"current_password": current, "new_password": wanted}
    return user.take(user.call("auth", "POST", "/api/v1/passwords", json=given))


def reset_password(admin: Actor, person: Person) -> Answer:
    """An administrator ends the password of a user, and gets the one-time token for the next."""
    users = pages(admin, "auth", "/api/v1/users")
    user_id = next(user["id"] for user in users if user["email"] == person.email)
    return admin.call("auth", "POST", "/api/v1/passwords/resets", json={"user_id": user_id}, expect=201)


def use_reset(api: Api, reset: Answer, person: Person, expect: int = 204) -> Answer:
    """Somebody without a login sets the person's password with the one-time token."""
    chosen = {"token": reset.body["token"], "new_password": person.password}
    return api.call("auth", "POST", "/api/v1/passwords/resets/use", json=chosen, expect=expect)


def create_department(admin: Actor, code: str, name: str, parent_id: str | None = None) -> Answer:
    """An administrator creates a department, below another one if `parent_id` is given."""
    parent = {"parent_id": parent_id} if parent_id else {}
    return admin.create("personnel", "/api/v1/departments", {"code": code, "name": name, **parent})


def get_department(reader: Actor, department_id: str) -> Answer:
    """A reader gets a department."""
    return reader.get("personnel", f"/api/v1/departments/{department_id}")


def rename_department(admin: Actor, seen: Answer, name: str, expect: int = 200) -> Answer:
    """An administrator renames a department, if it has not changed since it was `seen`."""
    path = f"/api/v1/departments/{seen.body['id']}"
    return admin.call("personnel", "PATCH", path, json={"name": name}, if_match=seen.etag, expect=expect)


def hire(admin: Actor, number: str, person: Person, department_id: str, user_id: str | None = None) -> Answer:
    """An administrator hires a person, with an appointment since the first of January of last year.

    On no day of this year does it begin, so it can be ended or followed by a transfer on each.
    """
    first = {"department_id": department_id, "title": person.title, "starts_on": f"{this_year() - 1}-01-01"}
    wanted = {"number": number, "name": person.name, "email": person.email, "appointment": first}
    return admin.create("personnel", "/api/v1/employees", wanted | ({"user_id": user_id} if user_id else {}))


def create_code_group(admin: Actor, code: str, name: str) -> Answer:
    """An administrator adds a list to choose from."""
    return admin.create("system", "/api/v1/code-groups", {"code": code, "name": name})


def create_code(admin: Actor, code_group_id: str, code: str, name: str) -> Answer:
    """An administrator adds a choice to a list."""
    return admin.create("system", "/api/v1/codes", {"code_group_id": code_group_id, "code": code, "name": name})


def change_setting(admin: Actor, name: str, value: str | int) -> Answer:
    """An administrator changes a setting of the tenant."""
    path = f"/api/v1/settings/{name}"
    return admin.call("system", "PUT", path, json={"value": value}, if_match="*", expect=200)


def open_fiscal_year(admin: Actor) -> Answer:
    """An administrator opens the current calendar year as a fiscal year."""
    year = this_year()
    wanted = {"name": str(year), "starts_on": f"{year}-01-01", "ends_on": f"{year}-12-31"}
    return admin.create("budget", "/api/v1/fiscal-years", wanted)


def open_account(admin: Actor, code: str, name: str) -> Answer:
    """An administrator opens an account."""
    return admin.create("budget", "/api/v1/accounts", {"code": code, "name": name})


def allocate(admin: Actor, fiscal_year_id: str, account_id: str, amount: str) -> Answer:
    """An administrator allocates money to an account."""
    wanted = {"fiscal_year_id": fiscal_year_id, "account_id": account_id, "amount": amount}
    return admin.create("budget", "/api/v1/allocations", wanted)


def transfer_money(admin: Actor, from_id: str, to_id: str, amount: str, reason: str) -> Answer:
    """An administrator moves money from one allocation to another."""
    wanted = {"from_allocation_id": from_id, "to_allocation_id": to_id, "amount": amount, "reason": reason}
    return admin.create("budget", "/api/v1/transfers", wanted)


def request_expenditure(member: Actor, allocation_id: str, amount: str, purpose: str) -> Answer:
    """An employee requests an expenditure."""
    wanted = {"allocation_id": allocation_id, "amount": amount, "purpose": purpose}
    return member.create("budget", "/api/v1/expenditures", wanted)


def approve(manager: Actor, requested: Answer, expect: int = 200, if_match: str = "") -> Answer:
    """A manager approves the request in the version in which it was made, or in that of `if_match`."""
    path = f"/api/v1/expenditures/{requested.body['id']}/approve"
    return manager.call("budget", "POST", path, if_match=if_match or requested.etag, expect=expect)


def reject(manager: Actor, requested: Answer, reason: str) -> Answer:
    """A manager rejects a request."""
    path = f"/api/v1/expenditures/{requested.body['id']}/reject"
    return manager.call("budget", "POST", path, if_match=requested.etag, json={"reason": reason}, expect=200)


def wait_for_audit(reader: Actor, trace_ids: Collection[str]) -> list[dict[str, Any]]:
    """Wait until the audit trail has an entry of each of these traces, and return it, the newest first.

    Raises `StepFailed` when one of them does not arrive in time.
    """
    missing = set(trace_ids)

    def complete() -> list[dict[str, Any]] | None:
        trail = list(pages(reader, "system", "/api/v1/audit-entries"))
        missing.difference_update(entry["trace_id"] for entry in trail)
        return None if missing else trail

    try:
        return until("system", complete, HEARD_WITHIN_SECONDS, "the audit trail is not complete")
    except StepFailed as error:
        raise StepFailed("system", f"{error}: it lacks the traces {', '.join(sorted(missing))}") from None


def pages(reader: Actor, service: str, path: str) -> Iterable[dict[str, Any]]:
    """Every item of a list, page after page."""
    cursor: str | None = None
    while True:
        params = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        body = reader.get(service, path, params=params).body
        yield from body["items"]
        cursor = body["next_cursor"]
        if cursor is None:
            return


def until(service: str, look: Callable[[], Found | None], seconds: float, failure: str, pause: float = 0.1) -> Found:
    """Call `look` until it returns something, and return that.

    Raises `StepFailed` of this service with this message after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise StepFailed(service, f"{failure} after {seconds:.0f} s")
        time.sleep(pause)
    return found


def this_year() -> int:
    """The current year in UTC."""
    return datetime.now(UTC).year
