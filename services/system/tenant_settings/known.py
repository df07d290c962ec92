"""The settings that there are, with their types and defaults. A new one needs a row here and nothing else."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, StrictInt, StringConstraints, TypeAdapter


class Known(NamedTuple):
    """One setting."""

    type: TypeAdapter[Any]
    default: str | int


KNOWN = {
    "currency": Known(TypeAdapter(Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]), "KRW"),
    "fiscal-year-begins-in": Known(TypeAdapter(Annotated[StrictInt, Field(ge=1, le=12)]), 1),
    "language": Known(TypeAdapter(Literal["en", "ko"]), "en"),
}
