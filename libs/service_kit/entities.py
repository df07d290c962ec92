"""What the tables of every service share: names of constraints, column types, and the `Entity` mixin."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, MetaData, Numeric, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

# Predictable names, by which a migration can drop a constraint and `create_app(conflicts=…)` can look one up.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
COLUMN_TYPES: dict[Any, Any] = {str: Text(), datetime: DateTime(timezone=True), Decimal: Numeric(14, 2)}


def new_metadata() -> MetaData:
    """New metadata for one service: tests load five services into one process, whose tables must not mix."""
    return MetaData(naming_convention=NAMING)


def newest_first(name: str, *columns: str) -> Index:
    """An index for the list of a tenant's rows, or of those with one value in each of `columns`, as `pages.page` reads it.

    A filter that many rows pass needs one, or a page reads all of these rows and sorts them.
    """
    return Index(name, "tenant_id", *columns, text("created_at desc"), text("id desc"))


class Entity:
    """The columns of a table whose rows belong to a tenant and can change, with optimistic locking by `version`.

    Adds to the table's own `__table_args__` the key (`tenant_id`, `id`), so that a foreign key can never point into
    another tenant, and the index that `pages.page` reads, newest first. `class Note(Entity, Base, is_listed=False)`
    omits the index.
    """

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[UUID] = mapped_column(sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"), onupdate=text("now()"))
    version: Mapped[int] = mapped_column(default=1)

    def __init_subclass__(cls, *, is_listed: bool = True, **others: Any) -> None:
        table = cls.__tablename__  # type: ignore[attr-defined]
        newest = newest_first(f"ix_{table}_newest")
        own = cls.__dict__.get("__table_args__", ())
        cls.__table_args__ = (UniqueConstraint("tenant_id", "id"), *([newest] if is_listed else []), *own)
        super().__init_subclass__(**others)  # DeclarativeBase maps the class here

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.version, "eager_defaults": True}  # type: ignore[attr-defined]
