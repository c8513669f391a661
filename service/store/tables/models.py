"""Models, the forms in which they are served, and promotions."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from service.store.tables.base import json_column, now


class Model(SQLModel, table=True):
    """`kind`: origin or candidate. `parents` are the model ids it was trained on, oldest first."""

    id: str = Field(primary_key=True)  # readable: tiny-origin, tiny-r0001-a1
    kind: str
    recipe_name: str
    round_id: int | None = Field(default=None, foreign_key="round.id")
    parents: list[str] = json_column(default_factory=list)
    verdict: str | None = None
    reasons: list[str] = json_column(default_factory=list)
    adapter_path: str | None = None
    tainted_at: datetime | None = None
    created_at: datetime = Field(default_factory=now)


class ServedForm(SQLModel, table=True):
    """The files of a model as the engine serves them; paths are relative to the home folder where they lie in it."""

    __tablename__ = "served_form"

    model_id: str = Field(primary_key=True, foreign_key="model.id")
    kind: str
    path: str
    sha256: str
    adapter_path: str | None = None
    adapter_sha256: str | None = None
    scale: float = 1.0
    quantization: str
    size_bytes: int
    collected_at: datetime | None = None  # when gc deleted the file


class Promotion(SQLModel, table=True):
    """Append-only; the row with the highest id names the champion."""

    id: int | None = Field(default=None, primary_key=True)
    model_id: str = Field(foreign_key="model.id")
    previous_id: str | None = Field(default=None, foreign_key="model.id")
    kind: str  # first | promote | rollback | automatic
    override_reason: str | None = None
    by: str
    at: datetime = Field(default_factory=now)
