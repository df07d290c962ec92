"""The tables of the auth service hang on this."""

from sqlalchemy.orm import DeclarativeBase

from libs.service_kit.entities import COLUMN_TYPES, new_metadata


class Base(DeclarativeBase):
    """The base of the service's models."""

    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES
