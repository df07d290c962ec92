"""A wrong setting of the tenant service ends it with one line that names the variable."""

import pytest

from libs.service_kit.settings import load
from services.tenant.settings import Settings


@pytest.mark.parametrize("value", ["0", "-1", "soon", "86401", ""])
def test_a_timeout_that_makes_no_sense_is_named(monkeypatch, capsys, value):
    monkeypatch.setenv("PROVISIONING_TIMEOUT_SECONDS", value)
    with pytest.raises(SystemExit):
        load(Settings)
    assert "tenant-service cannot start: PROVISIONING_TIMEOUT_SECONDS" in capsys.readouterr().err


def test_the_timeout_is_two_minutes_unless_set(monkeypatch):
    monkeypatch.delenv("PROVISIONING_TIMEOUT_SECONDS", raising=False)
    assert load(Settings).provisioning_timeout_seconds == 120
    monkeypatch.setenv("PROVISIONING_TIMEOUT_SECONDS", "30")
    assert load(Settings).provisioning_timeout_seconds == 30
