"""The traffic on the stack before the tests look at it: the demo's journey, and whatever else a panel or rule needs."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from libs.journey import people, steps, story
from libs.journey.client import Answer, Api
from libs.journey.story import Tenant


@dataclass(frozen=True)
class Traffic:
    """The traffic so far; times are in seconds since 1970."""

    tenant: Tenant
    approved: Answer
    """A request through budget and personnel, with an event for system."""
    began: float
    ended: float

    @property
    def created(self) -> str:
        """The id of the trace that created a tenant, in which all five services take part."""
        return self.tenant.traces[0]


def make(api: Api, logins: Mapping[str, str]) -> Traffic:
    """Play the journey of two tenants, then fail in every way that has a panel. This takes some seconds."""
    began = time.time()
    platform = steps.log_in_to_platform(api, logins)
    tenant, other = (story.play(api, platform, people.company(seed, secrets.token_hex(3))) for seed in (1, 2))
    admin = tenant.admin
    allocation = next(iter(tenant.allocations.values()))
    other.manager.get("budget", f"/api/v1/allocations/{allocation}", expect=404)
    api.call("auth", "GET", "/no/such/page", expect=404)
    wrong = {"tenant": tenant.company.code, "email": tenant.company.admin.email, "password": "not-this-one-at-all"}
    api.call("auth", "POST", "/api/v1/auth/login", json=wrong, expect=401)
    api.call("budget", "GET", "/api/v1/allocations", expect=401)
    admin.call("personnel", "POST", "/api/v1/departments", json={"name": ""}, expect=422)
    key = secrets.token_hex(8)
    night = {"code": "night-shift", "name": "Night shift"}
    for _ in range(2):  # the second request gets the first answer again
        admin.call("personnel", "POST", "/api/v1/departments", json=night, key=key, expect=201)
    admin.call("personnel", "POST", "/api/v1/departments", json=night, expect=409)
    _use_a_refresh_token_twice(api, other)
    approved = story.spend(tenant, Random(1))
    steps.wait_for_audit(admin, [*tenant.traces, approved.trace_id])
    return Traffic(tenant, approved, began, time.time())


def _use_a_refresh_token_twice(api: Api, tenant: Tenant) -> None:
    """Do what a thief would do: the session ends, and a log line warns of it."""
    member = steps.log_in(api, tenant.company.code, tenant.company.member)
    used = {"refresh_token": member.refresh_token}
    member.renew()
    api.call("auth", "POST", "/api/v1/auth/refresh", json=used, expect=401)
