"""The fields of a dataclass, a model or a named tuple that its own `repr` shows."""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, cast

from pydantic import BaseModel

BASE_MODEL = (BaseModel.__str__, BaseModel.__repr_args__)
"""The methods of a model that does not decide for itself how it is shown."""


def parts_of_record(value: Any) -> Iterable[tuple[str, object]] | None:
    """The names and values of the fields that a record shows; None for a value that is no record or shows itself its own way."""
    kind: Any = cast("type[object]", type(value))
    if is_dataclass(kind) and kind.__str__ is object.__str__ and hasattr(kind.__repr__, "__wrapped__"):
        return ((each.name, getattr(value, each.name)) for each in fields(kind) if each.repr)
    if issubclass(type(value), BaseModel):
        model = cast("type[BaseModel]", type(value))
        if (model.__str__, model.__repr_args__) == BASE_MODEL:
            shown = model.model_fields
            return ((name, each) for name, each in value.__dict__.items() if name not in shown or shown[name].repr)
    if issubclass(type(value), tuple) and (
        names := getattr(cast("object", kind), "__match_args__", ())
    ):  # a named tuple
        return zip(names, value, strict=False)
    return None
