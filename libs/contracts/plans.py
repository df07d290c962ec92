"""The plans of tenants: how many users and employees each permits."""

from typing import Literal, NamedTuple

PlanName = Literal["small", "medium", "unlimited"]


class Plan(NamedTuple):
    """The limits of a plan; None for no limit."""

    users: int | None
    """How many users may be active."""
    employees: int | None
    """How many people may be employed, now or later."""


PLANS: dict[PlanName, Plan] = {
    "small": Plan(users=10, employees=25),
    "medium": Plan(users=100, employees=500),
    "unlimited": Plan(users=None, employees=None),
}
