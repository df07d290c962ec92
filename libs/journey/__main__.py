"""The demo: plays the story of two tenants, and of one that leaves, on the running stack and prints each step with its trace."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random

from libs.journey import people, steps, story
from libs.journey.client import Answer, Api, UnexpectedAnswer, Unreachable, urls
from libs.journey.story import Tenant

# Long enough for the services to export their spans, which they do once a second.
SPANS_WRITTEN_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns 0 when every step succeeds; else prints the step that failed, and returns 1."""
    parser = argparse.ArgumentParser(
        prog="python -m libs.journey",
        description=__doc__,
        epilog="SERVICES__AUTH, SERVICES__TENANT, SERVICES__SYSTEM, SERVICES__BUDGET and SERVICES__PERSONNEL are the URLs of "
        "the services; BOOTSTRAP__ADMIN_EMAIL and BOOTSTRAP__ADMIN_PASSWORD are the platform administrator's login.",
    )
    parser.add_argument("--tenants", type=int, default=2, help="how many tenants (2)")
    parser.add_argument("--seed", type=int, default=1, help="which companies and people (1)")
    given = parser.parse_args(arguments)
    api = Api(urls())
    try:
        api.check_ready()
        demonstrate(api, max(given.tenants, 1), given.seed)
    except (Unreachable, UnexpectedAnswer, steps.StepFailed) as error:
        print(f"\nThe story stops here: {error}", file=sys.stderr)
        return 1
    finally:
        api.close()
    return 0


def demonstrate(api: Api, count: int, seed: int) -> None:
    """Play the stories, then check that tenants see nothing of each other and that the audit trail is complete."""
    platform = steps.log_in_to_platform(api, os.environ)
    line(platform.name, "logs in", platform.login)
    tenants: list[Tenant] = []
    for number in range(count):
        company = people.company(seed + number, secrets.token_hex(3))
        print(f"\n{company.name}")
        tenants.append(story.play(api, platform, company, line))
    print("\nWhat tenants see of each other")
    for mine, other in pairwise(tenants):
        allocation = next(iter(mine.allocations.values()))
        stranger = other.manager.get("budget", f"/api/v1/allocations/{allocation}", expect=404)
        line(other.manager.name, f"asks for an allocation of {mine.company.name}", stranger)
    print("\nA forgotten password")
    story.recover(tenants[0], line)
    print("\nA suspension")
    story.interrupt(platform, tenants[-1], line)
    print("\nA tenant that leaves")
    story.come_and_go(api, platform, people.company(seed + count, secrets.token_hex(3)), line)
    print("\nThe audit trail")
    for each in tenants:
        trail = steps.wait_for_audit(each.admin, each.traces)
        print(f"  {each.company.name}: all {len(each.traces)} steps are in it, {len(trail)} entries")
    print("\nOne more, to look at")
    # The last request of all, so that `make trace` draws it: a call to personnel, SQL, an event and its consumer.
    approved = story.spend(tenants[0], Random(secrets.token_hex(4)), line)
    time.sleep(SPANS_WRITTEN_SECONDS)
    print(what_next(tenants[0], approved, api.urls))


def line(who: str, what: str, answer: Answer) -> None:
    """Print a step."""
    refusal = f" [{answer.status} {answer.problem}]" if answer.status >= 400 else ""
    print(f"  {who:<18} {what + refusal:<78} {answer.seconds * 1000:6.0f} ms  {answer.trace_id}", flush=True)


def what_next(tenant: Tenant, approved: Answer, urls: Mapping[str, str]) -> str:
    """The commands and addresses that show what the demo has done."""
    admin = tenant.company.admin
    return f"""
Look at it:
  make trace ID={approved.trace_id[:8]}     the last approval, through budget, personnel and system
  make logs TRACE={approved.trace_id[:8]}   its log lines
  curl {urls["budget"]}/metrics
  {urls["auth"]}/docs       log in: tenant {tenant.company.code}, {admin.email}, {admin.password}"""


if __name__ == "__main__":
    sys.exit(main())
