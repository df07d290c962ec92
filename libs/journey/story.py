"""The story of one tenant, from its creation to money spent, told once for everybody who plays it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from libs.journey import people, steps
from libs.journey.client import Actor, Answer, Api
from libs.journey.people import Company, Person

Report = Callable[[str, str, Answer], object]
"""Told of every step: who did it, what happened, and the answer."""


@dataclass
class Told:
    """A tenant whose story has been told: its people, logged in, and the ids of what they made."""

    company: Company
    tenant_id: str
    admin: Actor
    manager: Actor
    member: Actor
    departments: dict[str, str]
    """Ids by code, as in `allocations`."""
    allocations: dict[str, str] = field(default_factory=dict[str, str])
    traces: list[str] = field(default_factory=list[str])
    """Of every step that published an event, in order."""


def quiet(who: str, what: str, answer: Answer) -> None:
    """A `Report` that does nothing."""


def tell(api: Api, platform: Actor, company: Company, report: Report = quiet) -> Told:
    """Open a tenant, let its people in, hire them, plan a budget and decide about some expenditures.

    Raises `UnexpectedAnswer`, `Unreachable` or `StepFailed` at the first step that goes wrong.
    """
    traces: list[str] = []

    def noted(who: str, what: str, answer: Answer) -> Answer:
        if answer.status < 400:
            traces.append(answer.trace_id)
        report(who, what, answer)
        return answer

    tenant_id, admin = _open(api, platform, company, noted)
    manager_id = _create_user(admin, company.manager, "manager", noted)
    member_id = _create_user(admin, company.member, "member", noted)
    told = Told(
        company,
        tenant_id,
        admin,
        manager=_log_in(api, company, company.manager, noted),
        member=_log_in(api, company, company.member, noted),
        departments=_build_departments(admin, company, noted),
        traces=traces,
    )
    _hire_everybody(told, {company.manager: manager_id, company.member: member_id}, noted)
    _plan_budget(told, noted)
    _refuse_what_must_be_refused(told, noted)
    spend(told, Random(company.code), noted)
    return told


def spend(told: Told, random: Random, report: Report = quiet) -> Answer:
    """A member requests an expenditure and the manager approves it: two services, one answer, one event."""
    account = random.choice(list(told.allocations))
    requested = steps.request_expenditure(
        told.member, told.allocations[account], people.amount(random), people.purpose(random)
    )
    report(told.member.name, f'requests {requested.body["amount"]} for "{requested.body["purpose"]}"', requested)
    approved = steps.approve(told.manager, requested)
    report(told.manager.name, f"approves it; personnel confirms that both are employed ({account})", approved)
    return approved


def _open(api: Api, platform: Actor, company: Company, noted: Callable[..., Answer]) -> tuple[str, Actor]:
    created = noted(platform.name, f"creates the tenant {company.code}", steps.create_tenant(platform, company))
    tenant_id = created.body["id"]
    active = steps.wait_until_active(platform, tenant_id)
    ready = ", ".join(step["service"] for step in active.body["provisioning"])
    admin = company.admin
    first = steps.create_first_admin(platform, tenant_id, admin)
    noted(platform.name, f"creates its first administrator; {ready} are prepared", first)
    wrong = {"tenant": company.code, "email": admin.email, "password": f"{admin.password}?"}
    refused = api.call("auth", "POST", "/api/v1/auth/login", json=wrong, expect=401)
    noted(admin.name, "mistypes the password and is refused", refused)
    actor = steps.log_in_once_active(api, company.code, admin)
    noted(admin.name, "logs in", actor.login)
    return tenant_id, actor


def _log_in(api: Api, company: Company, person: Person, noted: Callable[..., Answer]) -> Actor:
    actor = steps.log_in(api, company.code, person)
    noted(person.name, "logs in", actor.login)
    return actor


def _create_user(admin: Actor, person: Person, role: str, noted: Callable[..., Answer]) -> str:
    answer = steps.create_user(admin, person, role)
    noted(admin.name, f"lets {person.name} in as {role}", answer)
    return answer.body["id"]


def _build_departments(admin: Actor, company: Company, noted: Callable[..., Answer]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for code, (name, parent) in company.departments.items():
        answer = steps.create_department(admin, code, name, ids[parent] if parent else None)
        ids[code] = answer.body["id"]
        noted(admin.name, f"sets up the department {name}", answer)
    return ids


def _hire_everybody(told: Told, logins: dict[Person, str], noted: Callable[..., Answer]) -> None:
    everybody = (told.company.manager, told.company.member, *told.company.staff)
    for number, person in enumerate(everybody, start=1):
        department_id = told.departments[person.department]
        answer = steps.hire(told.admin, f"E{number:04}", person, department_id, logins.get(person))
        noted(told.admin.name, f"hires {person.name} as {person.title.lower()}", answer)


def _plan_budget(told: Told, noted: Callable[..., Answer]) -> None:
    admin = told.admin
    year = noted(admin.name, "opens the fiscal year", steps.open_fiscal_year(admin))
    for code, (name, amount) in told.company.accounts.items():
        account = noted(admin.name, f"opens the account {name}", steps.open_account(admin, code, name))
        allocation = steps.allocate(admin, year.body["id"], account.body["id"], amount)
        told.allocations[code] = allocation.body["id"]
        noted(admin.name, f"allocates {amount} to it", allocation)


def _refuse_what_must_be_refused(told: Told, noted: Callable[..., Answer]) -> None:
    code, (name, amount) = next(iter(told.company.accounts.items()))
    too_much = f"{Decimal(amount) + 1}"
    wish = steps.request_expenditure(told.member, told.allocations[code], too_much, f"All of {name.lower()}, and more")
    noted(told.member.name, f"requests {too_much}, more than the year holds", wish)
    noted(told.manager.name, "cannot approve it: over budget", steps.approve(told.manager, wish, expect=409))
    noted(told.manager.name, "rejects it", steps.reject(told.manager, wish, "More than the account holds"))
    before = steps.get_department(told.admin, told.departments["purchasing"])
    noted(told.admin.name, "renames a department", steps.rename_department(told.admin, before, "Procurement"))
    again = steps.rename_department(told.admin, before, "Buying", expect=412)
    noted(told.admin.name, "renames it as it was before: an old version", again)
