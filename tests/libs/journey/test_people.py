"""Companies are the same for the same seed, apart for every suffix, and fit what the services accept."""

import re
from decimal import Decimal
from random import Random

import pytest

from libs.journey import people


def test_the_same_seed_and_suffix_give_the_same_company():
    assert people.company(4, "abc123") == people.company(4, "abc123")


def test_a_suffix_changes_the_code_and_the_passwords_only():
    one, two = people.company(4, "abc123"), people.company(4, "def456")
    assert (one.name, one.admin.name, one.accounts) == (two.name, two.admin.name, two.accounts)
    assert one.code != two.code
    assert one.admin.password != two.admin.password


@pytest.mark.parametrize("seed", range(40))
def test_a_company_is_what_the_services_accept(seed):
    company = people.company(seed, "abc123")
    everybody = (company.admin, company.manager, company.member, *company.staff)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?", company.code)
    assert len({person.email for person in everybody}) == len(everybody)
    assert all(person.department in company.departments for person in everybody)
    assert all(12 <= len(person.password) <= 128 for person in everybody)
    assert all(parent is None or parent in company.departments for _, parent in company.departments.values())
    assert all(re.fullmatch(r"\d{1,12}\.\d\d", amount) for _, amount in company.accounts.values())


def test_amounts_are_small_sums_with_two_decimals():
    random = Random(1)
    amounts = [people.amount(random) for _ in range(200)]
    assert all(re.fullmatch(r"\d+\.\d\d", amount) for amount in amounts)
    assert all(Decimal(85) <= Decimal(amount) < Decimal(970) for amount in amounts)
