"""The auth service's tables."""

from sqlalchemy.orm import DeclarativeBase

from libs.service_kit.entities import COLUMN_TYPES, new_metadata


class Base(DeclarativeBase):
    """The base of this service's models."""

    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES
