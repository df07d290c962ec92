"""Types of API fields: bounded strings, exact money, and input models that refuse unknown fields."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints, WithJsonSchema

from libs.contracts.money import two_decimals

# PostgreSQL's `text` cannot hold NUL, so every string refuses it here instead of failing in the database.
_NO_NUL = r"^[^\x00]*$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_NO_NUL)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=_NO_NUL)]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$")]
Email = Annotated[
    str, StringConstraints(max_length=254, to_lower=True, pattern=r"^[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+$")
]

MOST_MONEY = Decimal("999999999999.99")
_MONEY = r"^\d{1,12}(\.\d{1,2})?$"


def _exact(value: object) -> Decimal:
    """Accept only strings: a JSON number may have been rounded as a float on its way."""
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not re.fullmatch(_MONEY[1:-1], value, re.ASCII):
        raise ValueError('must be a string with at most twelve digits and two decimals, such as "1250.00"')
    return Decimal(value)


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("must be more than zero")
    return value


Money = Annotated[
    Decimal,
    BeforeValidator(_exact),
    PlainSerializer(two_decimals, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": _MONEY, "examples": ["1250.00"]}),
]
PositiveMoney = Annotated[
    Decimal,
    BeforeValidator(lambda value: _positive(_exact(value))),  # pyright: ignore[reportUnknownLambdaType]
    PlainSerializer(two_decimals, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(?!0+(\.0+)?$)\d{1,12}(\.\d{1,2})?$", "examples": ["1250.00"]}),
]


# The years 1900 to 2199: enough for people and plans, and well within PostgreSQL's ranges.
_DAY = r"^(19|20|21)\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"


def _day(value: object) -> date:
    """Accept only ISO strings: pydantic would also accept a number, as seconds since 1970."""
    if not isinstance(value, str) or not re.fullmatch(_DAY[1:-1], value, re.ASCII):
        raise ValueError('must be a day from 1900 to 2199, such as "2026-03-01"')
    return date.fromisoformat(value)


Day = Annotated[
    date,
    BeforeValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "pattern": _DAY, "examples": ["2026-03-01"]}),
]


class Input(BaseModel):
    """The base of what a client sends. Unknown fields are refused, so that a misspelt name is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """The base of what a client gets, read from a row."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, row: Any) -> "dict[str, Any]":
        """The row as plain JSON values."""
        return cls.model_validate(row).model_dump(mode="json")
