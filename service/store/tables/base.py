"""What every table shares: the names of constraints, ids, and the clock."""

from datetime import UTC, datetime
from time import time_ns
from typing import Any

from sqlalchemy import JSON, Column, MetaData
from sqlmodel import Field, SQLModel

from service.randomness import random_bytes

SQLModel.metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def new_id() -> str:
    """32 hex digits: milliseconds since the epoch, then 80 random bits, so that rows made together lie together."""
    return f"{time_ns() // 1_000_000:012x}{random_bytes(10).hex()}"


def new_ids(count: int) -> list[str]:
    """As many ids as `new_id` gives, which together cost less."""
    begin, digits = f"{time_ns() // 1_000_000:012x}", random_bytes(10 * count).hex()
    return [begin + digits[at : at + 20] for at in range(0, 20 * count, 20)]


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def json_column(**options: Any) -> Any:
    """A field of JSON that is never null."""
    return Field(sa_column=Column(JSON, nullable=False), **options)
