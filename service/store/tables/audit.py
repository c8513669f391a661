"""Who did what, and receipts of erasure."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from service.store.tables.base import json_column, new_id, now


class ErasureReceipt(SQLModel, table=True):
    """What forgetting a person did; `rounds` and `models` are those that learned from them."""

    __tablename__ = "erasure_receipt"

    id: str = Field(default_factory=new_id, primary_key=True)
    person_id: str = Field(foreign_key="person.id")
    at: datetime = Field(default_factory=now)
    conversations: int
    rounds: list[int] = json_column(default_factory=list)
    models: list[str] = json_column(default_factory=list)


class Audit(SQLModel, table=True):
    """Who did what, in ids and counts."""

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(default_factory=now)
    actor: str
    action: str
    subject: str
    detail: dict[str, Any] = json_column(default_factory=dict)
