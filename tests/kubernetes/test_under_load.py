"""Every way in which a pod ends, under the load of clients inside the cluster: what they notice, and whether the books are right.

The writers keep their connections and repeat no request unseen: what is asked again, after it has failed, counts as failed.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from stack.kubernetes import cluster
from stack.services import SERVICES
from stack.settings import Settings

from tests.chaos.report import Attempt
from tests.kubernetes import load, pods, versions
from tests.kubernetes.pods import pods_of, settle

pytestmark = pytest.mark.timeout(900)

WORK_SECONDS = 3
"""How long the writers work before and after each event."""
REPLICAS = 2


class Event(NamedTuple):
    """Something that happens to pods; a gentle one costs no client anything."""

    what: str
    is_gentle: bool
    happen: Callable[[], None]


@pytest.fixture(scope="module")
def later(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """The images of two later versions, by name: `adding`, `removing`."""
    files = {"adding": versions.adding(), "removing": versions.removing()}
    built = {name: versions.build(settings, name, each, tmp_path_factory.mktemp(name)) for name, each in files.items()}
    yield built
    for each in built.values():
        versions.remove(each)


@pytest.fixture
def events(settings: Settings, later: dict[str, dict[str, str]], verb: Callable[..., str]) -> list[Event]:
    """Everything that happens, in this order."""

    def roll_out(version: str, *also: str) -> None:
        versions.migrate(settings, later[version][versions.PREPARE])
        cluster.kubectl(
            settings, "set", "image", "deployment/budget-service", f"service={later[version][versions.BUDGET]}"
        )
        for name in also:
            cluster.kubectl(settings, "rollout", "restart", f"deployment/{name}")

    def add() -> None:
        roll_out("adding", "auth-service")
        settle(settings)

    def roll_back() -> None:
        """Both versions have written: what has no memo is of the old one."""
        of_both = (
            f"select count(*) > 0 from expenditures where memo = '' and created_at > "
            f"(select min(created_at) from expenditures where memo = '{versions.WRITTEN}')"
        )
        assert "t" in verb("psql", "--service", "budget", "--sql", of_both).split()
        cluster.kubectl(settings, "rollout", "undo", "deployment/budget-service")

    def scale() -> None:
        for count in (REPLICAS - 1, REPLICAS):
            cluster.kubectl(settings, "scale", "deployment/budget-service", f"--replicas={count}")
            settle(settings)

    def evict() -> None:
        running = {each.name: pods_of(settings, each.name) for each in SERVICES}
        assert {len(each) for each in running.values()} == {REPLICAS}
        assert [pods.evict(settings, first) for first, _ in running.values()] == [""] * len(SERVICES)
        refused = [pods.evict(settings, second) for _, second in running.values()]
        assert ["disruption budget" in each for each in refused] == [True] * len(SERVICES), refused

    def one_of(name: str) -> pods.Pod:
        return pods_of(settings, name)[0]

    return [
        Event("roll-out of auth, and of budget with a migration that adds a column", True, add),
        Event("roll-back of budget, on the new tables", True, roll_back),
        Event("roll-out of budget with a migration that removes the column", True, lambda: roll_out("removing")),
        Event("budget scaled to one replica, and back to two", True, scale),
        Event("eviction of one pod of each service, of the other one refused", True, evict),
        Event("`kill -9` of budget's process", False, lambda: pods.kill_process(settings, one_of("budget-service"))),
        Event(
            "`kill -9` of a system pod's sandbox", False, lambda: pods.kill_sandbox(settings, one_of("system-service"))
        ),
        *(
            Event(
                f"{name}'s pod removed by force",
                False,
                lambda name=name: pods.remove_by_force(settings, [one_of(name)]),
            )
            for name in ("auth-service", "rabbitmq", "postgres")
        ),
    ]


def test_no_request_fails_when_pods_end_gently_and_nothing_acknowledged_is_lost_when_they_are_killed(
    settings, events, verb, capsys
):
    times = []
    with load.working(settings) as writers:
        for event in events:
            began = time.time()
            time.sleep(WORK_SECONDS)
            event.happen()
            settle(settings)
            time.sleep(WORK_SECONDS)
            times.append((began, time.time()))
        seen = writers.end()
    attempts = [Attempt(**each) for each in seen["attempts"]]
    failed, lines = {}, ["| what happens | requests | failed | slowest |", "| --- | ---: | ---: | ---: |"]
    for event, (began, ended) in zip(events, times, strict=True):
        mine = [each for each in attempts if began <= each.at < ended]
        failed[event] = [each for each in mine if each.failure]
        slowest = max(each.seconds for each in mine)
        lines.append(f"| {event.what} | {len(mine)} | {len(failed[event])} | {slowest:.1f} s |")
    with capsys.disabled():
        print("", *lines, f"{seen['acknowledged']} writes were acknowledged.", sep="\n")
    assert {each.what: failed[each] for each in events if each.is_gentle and failed[each]} == {}
    assert (seen["surprises"], seen["lost"], seen["doubled"], seen["money"]) == ([], {}, {}, [])
    assert seen["acknowledged"] > 0
    verb("up")  # the version of this checkout again
