"""A run makes every fault that can be made of every part that runs, or those that are asked for."""

import itertools
import os
import signal
import threading
from types import SimpleNamespace

import pytest
import yaml
from stack.services import SERVICES

from tests.chaos.faults import DOCKER, ENDS, LOCAL, Fault, broken
from tests.chaos.parts import FAULTS, LOGS, PARTS, SHORT, TAKE_AWAY, plan
from tests.configs.dashboards import DEV, RULES

EVERYTHING = [each.name for each in PARTS]
COMPOSED = {
    name
    for file in ("docker-compose.dev.yml", "docker-compose.devops.yml")
    for name in yaml.safe_load((DEV.parent / file).read_text())["services"]
}


def named(found: list) -> list[tuple[str, str]]:
    return [(part.name, fault) for part, fault in found]


def test_each_part_is_a_container_and_its_alert_a_rule():
    alerts = {rule.get("alert") for rule in RULES}
    for part in PARTS:
        assert part.name == LOGS or part.name in COMPOSED
        assert part.alert == "" or part.alert in alerts
        assert part.watcher in COMPOSED


def test_only_an_alert_that_there_is_is_waited_for():
    waited = {each.name: [fault for fault in FAULTS if each.lasts_until_alert(fault)] for each in PARTS}
    assert (waited["prometheus"], waited["jaeger"], waited["postgres"]) == ([], ["stop"], ["stop", "pause"])


def test_a_full_run_makes_every_fault_of_every_part():
    expected = {*itertools.product({*EVERYTHING} - {LOGS}, FAULTS), (LOGS, TAKE_AWAY)}
    found = named(plan(EVERYTHING, DOCKER, [], is_short=False))
    assert (set(found), len(found)) == (expected, len(expected))


def test_a_short_run_makes_one_fault_of_each_part_and_each_kind_of_fault():
    found = dict(named(plan(EVERYTHING, DOCKER, [], is_short=True)))
    assert found == SHORT
    assert found.keys() == {*EVERYTHING}
    assert {*found.values()} == {*FAULTS, TAKE_AWAY}


def test_without_docker_what_is_there_is_broken_by_what_can_be_done():
    there = ["postgres", "probe", *(each.name for each in SERVICES)]
    assert {part for part, _ in named(plan(there, LOCAL, [], is_short=True))} == {*there, LOGS} - {"probe"}
    assert {fault for _, fault in named(plan(there, LOCAL, [], is_short=False))} == {*FAULTS, TAKE_AWAY} - {"cut-off"}


def test_nothing_is_broken_where_nothing_runs():
    assert plan([], DOCKER, [], is_short=False) == []


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (["jaeger"], [("jaeger", fault) for fault in FAULTS]),
        (["jaeger", "pause"], [("jaeger", "pause")]),
        (["postgres", "jaeger", "pause"], [("jaeger", "pause"), ("postgres", "pause")]),
        ([TAKE_AWAY], [(LOGS, TAKE_AWAY)]),
    ],
)
def test_only_the_named_parts_and_faults_are_made(only, expected):
    assert named(plan(EVERYTHING, DOCKER, only, is_short=False)) == expected


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (["jaeger", "kill"], [("jaeger", "kill")]),
        (["jaeger", "kill", "pause"], [("jaeger", "pause")]),
        (["jaeger"], [("jaeger", SHORT["jaeger"])]),
        (["jaeger", TAKE_AWAY], []),
    ],
)
def test_a_short_run_makes_one_of_the_named_faults_of_each_part(only, expected):
    assert named(plan(EVERYTHING, DOCKER, only, is_short=True)) == expected


class Interrupted(BaseException):
    """As KeyboardInterrupt, which would end the tests."""


@pytest.mark.parametrize("when", ["before", "halfway", "later"])
def test_what_was_broken_is_brought_back_whatever_happens(when):
    state = threading.Event()

    def do(*_: object) -> None:
        if when == "before":
            raise Interrupted
        state.set()
        if when == "halfway":
            raise Interrupted

    faults = {"stop": Fault(do, lambda *_: state.clear())}
    with pytest.raises(Interrupted), broken(SimpleNamespace(), faults, "jaeger", "stop"):
        assert state.is_set()
        raise Interrupted
    assert not state.is_set()


def test_no_signal_interrupts_what_brings_a_part_back():
    handlers = [signal.getsignal(each) for each in ENDS]
    state = threading.Event()

    def undo(*_: object) -> None:
        for each in ENDS:
            os.kill(os.getpid(), each)
        state.set()

    with broken(SimpleNamespace(), {"stop": Fault(lambda *_: None, undo)}, "jaeger", "stop"):
        pass
    assert state.is_set()
    assert [signal.getsignal(each) for each in ENDS] == handlers
