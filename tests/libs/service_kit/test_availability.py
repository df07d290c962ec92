"""A transaction that is refused is no database that is away; of either there is a line, and then a count."""

import pytest
from sqlalchemy.exc import DBAPIError

from libs.service_kit import availability
from libs.service_kit.availability import Dependency


class Refusal(Exception):
    """What a driver raises."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Dependency:
    """The database, which nobody has asked yet, and no transaction has been refused."""
    fresh = Dependency("database")
    monkeypatch.setattr(availability, "DATABASE", fresh)
    availability.REFUSALS.begin_anew()
    return fresh


def failed(sqlstate: str) -> DBAPIError:
    return DBAPIError("select 1", None, Refusal(sqlstate))


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "53100", "53200", "53400", "55P03"])
def test_refused_transactions_are_one_line(database, caplog, sqlstate):
    for _ in range(10):
        assert availability.note(failed(sqlstate))
    assert caplog.messages == ["the database refused the transaction"]


@pytest.mark.parametrize("sqlstate", ["08006", "28P01", "3D000", "53300", "57P01", "57P03"])
def test_a_server_that_lets_nobody_in_is_away(database, caplog, sqlstate):
    for _ in range(10):
        assert availability.note(failed(sqlstate))
    assert caplog.messages == ["a dependency does not answer"]


def test_a_wrong_statement_is_neither(database, caplog):
    assert not availability.note(failed("42P01"))
    assert caplog.messages == []
