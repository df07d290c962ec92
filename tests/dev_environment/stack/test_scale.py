"""What `SCALE` means."""

import re

import pytest
from stack import scale
from stack.errors import SettingError
from stack.services import SERVICES
from stack.settings import ROOT

ONE = {service.name: 1 for service in SERVICES}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", {}),
        ("1", ONE),
        ("2", dict.fromkeys(ONE, 2)),
        ("budget=2", ONE | {"budget-service": 2}),
        ("budget-service=10, auth=3", ONE | {"budget-service": 10, "auth-service": 3}),
    ],
)
def test_a_number_is_for_all_and_a_word_for_one_service(given, expected):
    assert scale.replicas(given) == expected


@pytest.mark.parametrize(
    "given", ["0", "11", "two", "budget", "budget=", "budget=x", "budget=0", "probe=2", "2 3", "=2"]
)
def test_anything_else_is_refused_in_one_line(given):
    with pytest.raises(SettingError) as refusal:
        scale.replicas(given)
    assert re.fullmatch(
        r"SCALE must be a number from 1 to 10 for all services, or words like budget=2 .*", str(refusal.value)
    )
    assert repr(given) in str(refusal.value)


def test_haproxy_has_a_place_for_each():
    places = re.findall(r"server-template \w+ (\d+) ", (ROOT / "dev-environment/haproxy/haproxy.cfg").read_text())
    assert places == [str(scale.MOST)] * len(SERVICES)
