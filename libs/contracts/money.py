"""How an amount of money is written in events and answers."""

from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer


def two_decimals(value: Decimal) -> str:
    """Money as it is written everywhere: `1250.00`."""
    return f"{value:.2f}"


Amount = Annotated[Decimal, PlainSerializer(two_decimals, return_type=str, when_used="json")]
