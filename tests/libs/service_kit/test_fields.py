"""The kinds of values that cross the wire."""

from decimal import Decimal
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter, ValidationError

from libs.service_kit.fields import Code, Day, Email, Input, Money, Name, Output, PositiveMoney


class Priced(Output):
    """A row with money in it."""

    amount: Money


@pytest.mark.parametrize(
    ("given", "written"),
    [("0", "0.00"), ("2", "2.00"), ("2.5", "2.50"), ("999999999999.99", "999999999999.99"), ("007", "7.00")],
)
def test_money_is_exact_text_with_two_decimals(given, written):
    amount = TypeAdapter(Money).validate_python(given)
    assert amount == Decimal(given)
    assert Priced.of(SimpleNamespace(amount=amount)) == {"amount": written}


@pytest.mark.parametrize(
    "given", [1, 1.5, "", " 1", "1.", ".5", "1,5", "-1", "+1", "1e3", "NaN", "0x1", "1\n", None, True]
)
def test_anything_else_is_no_money(given):
    with pytest.raises(ValidationError):
        TypeAdapter(Money).validate_python(given)


@pytest.mark.parametrize("given", ["0", "0.00", "-1"])
def test_positive_money_is_more_than_zero(given):
    assert TypeAdapter(PositiveMoney).validate_python("0.01") == Decimal("0.01")
    with pytest.raises(ValidationError):
        TypeAdapter(PositiveMoney).validate_python(given)


@pytest.mark.parametrize("kind", [Money, PositiveMoney])
def test_money_is_described_as_text(kind):
    schema = TypeAdapter(kind).json_schema()
    assert schema["type"] == "string"
    assert schema["pattern"]


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [(Name, "  Kim  ", "Kim"), (Email, "Kim@Example.ORG", "kim@example.org"), (Code, "a-1", "a-1")],
)
def test_text_is_kept_in_one_form(kind, given, kept):
    assert TypeAdapter(kind).validate_python(given) == kept


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Name, "a\x00b"),
        (Name, "\ud800"),
        (Name, "x" * 201),
        (Email, "kim"),
        (Email, "a@b"),
        (Email, "a@b.c\n"),
        (Email, "x" * 250 + "@b.de"),
        (Code, "A"),
        (Code, "-a"),
        (Code, "a\n"),
        (Code, "x" * 51),
        (Day, "2026-02-30"),
        (Day, 1767225600),
        (Day, "2026-01-01T00:00:00"),
        (Day, "9999-12-31"),
    ],
)
def test_text_of_another_form_is_refused(kind, given):
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(given)


def test_an_unknown_field_of_an_input_is_refused():
    class Wanted(Input):
        name: Name

    with pytest.raises(ValidationError, match="extra_forbidden"):
        Wanted.model_validate({"name": "a", "nmae": "b"})
