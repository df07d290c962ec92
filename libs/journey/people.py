"""Believable companies and people. The same seed gives the same ones; a suffix makes each run unique."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

KINDS = ("Shipyard", "Instruments", "Foods", "Logistics", "Textiles", "Energy", "Glassworks", "Publishing")
PLACES = ("Harbour", "Northfield", "Riverside", "Hanbit", "Alder", "Seorak", "Bluestone", "Saebyeok")
GIVEN = ("Minjun", "Seoyeon", "Alice", "Jonas", "Haruto", "Priya", "Elena", "Dohyun", "Nora", "Tomas", "Jiwoo")
FAMILY = ("Kim", "Lee", "Park", "Choi", "Weber", "Tanaka", "Sharma", "Rossi", "Jung", "Novak", "Lindqvist")
# A password is made of four of these words, chosen at random in each run.
WORDS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "heron", "kelp", "maple", "orchid", "plover")
TREE: dict[str, tuple[str, str | None]] = {
    "operations": ("Operations", None),
    "finance": ("Finance", None),
    "people": ("People", None),
    "purchasing": ("Purchasing", "operations"),
    "maintenance": ("Maintenance", "operations"),
}
ACCOUNTS = {
    "4100-travel": ("Travel and lodging", "24000.00"),
    "5200-equipment": ("Equipment", "180000.00"),
    "6300-training": ("Training", "36000.00"),
}
TITLES = ("Buyer", "Technician", "Planner", "Clerk", "Analyst", "Foreman")
PURPOSES = (
    "Rail tickets to the supplier in Busan",
    "Spare bearings for line 2",
    "Safety training for the night shift",
    "Two torque wrenches",
    "Hotel during the audit",
    "Calibration of the scales",
)


@dataclass(frozen=True)
class Person:
    """An employee of a company, with their login."""

    name: str
    email: str
    password: str
    title: str
    department: str
    """The code of a department."""


@dataclass(frozen=True)
class Company:
    """One tenant's data: its people, departments and budget."""

    code: str
    name: str
    admin: Person
    manager: Person
    member: Person
    staff: tuple[Person, ...]
    """Further employees, who have no login."""
    departments: dict[str, tuple[str, str | None]]
    """The name and the parent's code, by code; parents come first."""
    accounts: dict[str, tuple[str, str]]
    """The name and the amount for the year, by code."""


def company(seed: int, suffix: str) -> Company:
    """A company. `suffix`, a few letters and digits, makes its code unique among all runs."""
    random = Random(seed)
    name = f"{PLACES[seed % len(PLACES)]} {random.choice(KINDS)}"
    domain = f"{name.lower().replace(' ', '-')}.example"
    secret = Random(f"{seed} {suffix}")
    people = random.sample([(given, family) for given in GIVEN for family in FAMILY], 8)

    def person(index: int, title: str, department: str) -> Person:
        given, family = people[index]
        password = f"{'-'.join(secret.sample(WORDS, 4))}-{secret.randrange(1000, 10000)}"
        return Person(f"{given} {family}", f"{given}.{family}@{domain}".lower(), password, title, department)

    staff = (person(index, random.choice(TITLES), random.choice(list(TREE))) for index in range(3, len(people)))
    return Company(
        code=f"{domain.removesuffix('.example')}-{suffix}",
        name=name,
        admin=person(0, "Office manager", "people"),
        manager=person(1, "Head of finance", "finance"),
        member=person(2, "Buyer", "purchasing"),
        staff=tuple(staff),
        departments=TREE,
        accounts={code: (title, _varied(random, amount)) for code, (title, amount) in ACCOUNTS.items()},
    )


def purpose(random: Random) -> str:
    """A purpose to spend money on."""
    return random.choice(PURPOSES)


def amount(random: Random, among: Sequence[int] = (85, 140, 260, 480, 950)) -> str:
    """A small amount as in a request, such as `263.50`."""
    return f"{Decimal(random.choice(among)) + Decimal(random.randrange(0, 2000)) / 100:.2f}"


def _varied(random: Random, amount: str) -> str:
    return f"{Decimal(amount) * random.randrange(60, 180) / 100:.2f}"
