"""The story of one tenant, from its creation to the first money spent, for everybody who plays it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

from libs.journey import appointments, people, steps, tenants
from libs.journey.client import Actor, Answer, Api
from libs.journey.people import Company, Person

Report = Callable[[str, str, Answer], object]
"""Called after every step with who did it, what happened, and the answer."""

LISTS = {
    "auth": "/api/v1/users",
    "budget": "/api/v1/accounts",
    "personnel": "/api/v1/departments",
    "system": "/api/v1/audit-entries",
}
"""What an administrator can list in each service that holds something of a tenant."""


@dataclass
class Tenant:
    """A tenant whose story has been played: its people, logged in, and the ids of what they made."""

    company: Company
    tenant_id: str
    admin: Actor
    manager: Actor
    member: Actor
    departments: dict[str, str]
    """Ids by code; so are `allocations`."""
    allocations: dict[str, str] = field(default_factory=dict[str, str])
    traces: list[str] = field(default_factory=list[str])
    """The trace of every step that has changed something, in order."""


def quiet(who: str, what: str, answer: Answer) -> None:
    """A `Report` that does nothing."""


def play(api: Api, platform: Actor, company: Company, report: Report = quiet) -> Tenant:
    """Create a tenant and its users, hire its people, plan a budget, and decide on some expenditures.

    Raises `UnexpectedAnswer`, `Unreachable` or `StepFailed` at the first step that fails.
    """
    traces: list[str] = []

    def noted(who: str, what: str, answer: Answer) -> Answer:
        if answer.status < 400 and answer.method != "GET":
            traces.append(answer.trace_id)
        report(who, what, answer)
        return answer

    tenant_id, admin = _open(api, platform, company, noted)
    manager_id = _create_user(admin, company.manager, "manager", noted)
    member_id = _create_user(admin, company.member, "member", noted)
    tenant = Tenant(
        company,
        tenant_id,
        admin,
        manager=_log_in(api, company, company.manager, noted),
        member=_log_in(api, company, company.member, noted),
        departments=_build_departments(admin, company, noted),
        traces=traces,
    )
    staff = _hire_everybody(tenant, {company.manager: manager_id, company.member: member_id}, noted)
    _move_people(tenant, staff, noted)
    _choose_codes(tenant, noted)
    _plan_budget(tenant, noted)
    _refuse_what_must_be_refused(tenant, noted)
    spend(tenant, Random(company.code), noted)
    return tenant


def spend(tenant: Tenant, random: Random, report: Report = quiet) -> Answer:
    """A member requests an expenditure and the manager approves it. Returns the answer to the approval."""
    account = random.choice(list(tenant.allocations))
    requested = steps.request_expenditure(
        tenant.member, tenant.allocations[account], people.amount(random), people.purpose(random)
    )
    report(tenant.member.name, f'requests {requested.body["amount"]} for "{requested.body["purpose"]}"', requested)
    approved = steps.approve(tenant.manager, requested)
    report(tenant.manager.name, f"approves it; personnel confirms that both are employed ({account})", approved)
    return approved


def recover(tenant: Tenant, report: Report = quiet) -> None:
    """The member has forgotten the password, and sets another one with the one-time token of an administrator."""
    admin, member = tenant.admin, tenant.company.member
    ended = steps.reset_password(admin, member)
    report(admin.name, f"ends the password of {member.name}, who has forgotten it", ended)
    member = replace(member, password=f"next-{member.password}")
    chosen = steps.use_reset(admin.api, ended, member)
    report(member.name, "chooses another one with the one-time token", chosen)
    report(member.name, "cannot use the token again", steps.use_reset(admin.api, ended, member, expect=401))
    tenant.company = replace(tenant.company, member=member)
    tenant.member = steps.log_in(admin.api, tenant.company.code, member)
    report(member.name, "logs in", tenant.member.login)
    tenant.traces += [ended.trace_id, chosen.trace_id, tenant.member.login.trace_id]


def interrupt(platform: Actor, tenant: Tenant, report: Report = quiet) -> None:
    """The tenant gets another plan and is suspended, every service refuses its people, and it goes on where it was, with an export of its data."""
    admin = tenant.admin
    planned = tenants.change_plan(platform, tenant.tenant_id, "medium")
    report(platform.name, f"gives {tenant.company.name} the plan medium", planned)
    suspended = tenants.suspend(platform, tenant.tenant_id, "The bill is not paid")
    report(platform.name, f"suspends {tenant.company.name}", suspended)
    for service, path in LISTS.items():
        refused = tenants.wait_until_answered(admin, service, path, 403)
        report(admin.name, f"is refused by {service}", refused)
    person = tenant.company.member
    wanted = {"tenant": tenant.company.code, "email": person.email, "password": person.password}
    report(person.name, "cannot log in", admin.api.call("auth", "POST", "/api/v1/auth/login", json=wanted, expect=403))
    resumed = tenants.resume(platform, tenant.tenant_id)
    report(platform.name, "lets it go on", resumed)
    answers = [tenants.wait_until_answered(admin, service, path, 200) for service, path in LISTS.items()]
    report(admin.name, "is still logged in", answers[-1])
    for service in LISTS:
        lines, last = tenants.export(admin, service, tenant.tenant_id)
        report(admin.name, f"exports what {service} holds: {len(lines)} rows", last)
    tenant.traces += [planned.trace_id, suspended.trace_id, resumed.trace_id]


def come_and_go(api: Api, platform: Actor, company: Company, report: Report = quiet) -> None:
    """A tenant is created, and leaves as soon as its administrator has seen it."""
    leave(platform, *_open(api, platform, company, report), report)


def leave(platform: Actor, tenant_id: str, admin: Actor, report: Report = quiet) -> dict[str, list[str]]:
    """A tenant is suspended, exported by every service, and closed for good. Returns the lines of each service."""
    report(platform.name, "suspends the tenant", tenants.suspend(platform, tenant_id, "It has given notice"))
    early = tenants.close(platform, tenant_id, "It has left", expect=409)
    report(platform.name, "cannot close it before it is exported", early)
    exported: dict[str, list[str]] = {}
    for service, path in LISTS.items():
        tenants.wait_until_answered(admin, service, path, 403)
        exported[service], last = tenants.export(platform, service, tenant_id)
        report(platform.name, f"exports what {service} holds: {len(exported[service])} rows", last)
    tenants.wait_until_exported(platform, tenant_id)
    report(platform.name, "closes it for good", tenants.close(platform, tenant_id, "It has left"))
    return exported


def _open(api: Api, platform: Actor, company: Company, report: Report) -> tuple[str, Actor]:
    created = steps.create_tenant(platform, company)
    report(platform.name, f"creates the tenant {company.code}", created)
    tenant_id = created.body["id"]
    active = steps.wait_until_active(platform, tenant_id)
    ready = ", ".join(step["service"] for step in active.body["provisioning"])
    admin = company.admin
    first = steps.create_first_admin(platform, tenant_id, admin)
    report(platform.name, f"creates its first administrator; {ready} are prepared", first)
    wrong = {"tenant": company.code, "email": admin.email, "password": f"{admin.password}?"}
    refused = api.call("auth", "POST", "/api/v1/auth/login", json=wrong, expect=401)
    report(admin.name, "mistypes the password and is refused", refused)
    actor = steps.log_in_once_active(api, company.code, admin)
    report(admin.name, "logs in", actor.login)
    return tenant_id, actor


def _with_first_password(person: Person) -> Person:
    return replace(person, password=f"first-{person.password}")


def _log_in(api: Api, company: Company, person: Person, noted: Callable[..., Answer]) -> Actor:
    first = _with_first_password(person)
    actor = steps.log_in(api, company.code, first)
    noted(person.name, "logs in", actor.login)
    changed = steps.change_password(actor, first.password, person.password)
    noted(person.name, "chooses a password that the administrator does not know", changed)
    return actor


def _create_user(admin: Actor, person: Person, role: str, noted: Callable[..., Answer]) -> str:
    answer = steps.create_user(admin, _with_first_password(person), role)
    noted(admin.name, f"lets {person.name} in as {role}", answer)
    return answer.body["id"]


def _build_departments(admin: Actor, company: Company, noted: Callable[..., Answer]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for code, (name, parent) in company.departments.items():
        answer = steps.create_department(admin, code, name, ids[parent] if parent else None)
        ids[code] = answer.body["id"]
        noted(admin.name, f"sets up the department {name}", answer)
    return ids


def _hire_everybody(tenant: Tenant, logins: dict[Person, str], noted: Callable[..., Answer]) -> list[Answer]:
    hired: list[Answer] = []
    everybody = (tenant.company.manager, tenant.company.member, *tenant.company.staff)
    for number, person in enumerate(everybody, start=1):
        department_id = tenant.departments[person.department]
        answer = steps.hire(tenant.admin, f"E{number:04}", person, department_id, logins.get(person))
        hired.append(noted(tenant.admin.name, f"hires {person.name} as {person.title.lower()}", answer))
    return hired[-len(tenant.company.staff) :]


def _move_people(tenant: Tenant, staff: list[Answer], noted: Callable[..., Answer]) -> None:
    admin, moved, leaver = tenant.admin, staff[0], staff[-1]
    home = moved.body["appointments"][0]["department_id"]
    elsewhere = next(each for each in tenant.departments.values() if each != home)
    name = moved.body["name"]
    moved = noted(admin.name, f"transfers {name}", appointments.transfer(admin, moved, elsewhere))
    before, after = moved.body["appointments"]
    for day in (before["ends_on"], after["starts_on"]):
        where, chart = appointments.find_in_chart(admin, moved.body["id"], day)
        noted(admin.name, f"finds {name} in {where} in the chart of {day}", chart)
    left = noted(admin.name, f"lets {leaver.body['name']} go: today is the last day", appointments.leave(admin, leaver))
    back = appointments.day(90)
    noted(admin.name, f"takes {leaver.body['name']} back from {back} on", appointments.appoint(admin, left, back))


def _choose_codes(tenant: Tenant, noted: Callable[..., Answer]) -> None:
    admin = tenant.admin
    units = noted(admin.name, "makes a list of units", steps.create_code_group(admin, "units", "Units of measure"))
    noted(admin.name, "puts the kilogram on it", steps.create_code(admin, units.body["id"], "kg", "Kilogram"))
    noted(admin.name, "counts money in euros", steps.change_setting(admin, "currency", "EUR"))


def _plan_budget(tenant: Tenant, noted: Callable[..., Answer]) -> None:
    admin = tenant.admin
    year = noted(admin.name, "opens the fiscal year", steps.open_fiscal_year(admin))
    for code, (name, amount) in tenant.company.accounts.items():
        account = noted(admin.name, f"opens the account {name}", steps.open_account(admin, code, name))
        allocation = steps.allocate(admin, year.body["id"], account.body["id"], amount)
        tenant.allocations[code] = allocation.body["id"]
        noted(admin.name, f"allocates {amount} to it", allocation)
    giving, taking = list(tenant.allocations.values())[-2:]
    moved = steps.transfer_money(admin, giving, taking, "1000.00", "More people to train than machines to buy")
    noted(admin.name, "moves 1000.00 from the second account to the third", moved)


def _refuse_what_must_be_refused(tenant: Tenant, noted: Callable[..., Answer]) -> None:
    code, (name, amount) = next(iter(tenant.company.accounts.items()))
    too_much = f"{Decimal(amount) + 1}"
    wish = steps.request_expenditure(
        tenant.member, tenant.allocations[code], too_much, f"All of {name.lower()}, and more"
    )
    noted(tenant.member.name, f"requests {too_much}, more than the year holds", wish)
    noted(tenant.manager.name, "cannot approve it: over budget", steps.approve(tenant.manager, wish, expect=409))
    noted(tenant.manager.name, "rejects it", steps.reject(tenant.manager, wish, "More than the account holds"))
    before = steps.get_department(tenant.admin, tenant.departments["purchasing"])
    noted(tenant.admin.name, "renames a department", steps.rename_department(tenant.admin, before, "Procurement"))
    again = steps.rename_department(tenant.admin, before, "Buying", expect=412)
    noted(tenant.admin.name, "renames it as it was before: an old version", again)
