"""Who did what, and receipts of erasure."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from service.store.tables.base import json_column, new_id, now


class ErasureReceipt(SQLModel, table=True):
    """What forgetting a person did; `rounds` and `models` are those that learned from them.

    The id is that of the erasure list's line. A person whom a restored database does not know has a receipt too.
    """

    __tablename__ = "erasure_receipt"

    id: str = Field(default_factory=new_id, primary_key=True)
    person_id: str
    at: datetime = Field(default_factory=now)
    conversations: int
    rounds: list[int] = json_column(default_factory=list)
    models: list[str] = json_column(default_factory=list)


class Audit(SQLModel, table=True):
    """Who did what, in ids and counts. The database itself refuses to change or delete a row (migration 0016)."""

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(default_factory=now)
    actor: str
    action: str
    subject: str
    detail: dict[str, Any] = json_column(default_factory=dict)
