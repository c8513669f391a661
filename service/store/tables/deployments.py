"""What became of promoted models: where they answer outside, and what the watch over them found."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from service.store.tables.base import json_column


class Deployment(SQLModel, table=True):
    """One row a target: the model that answers there, by the promotion that brought it, and the last try.

    `problem` is why the last try failed; None once one succeeded. `mark` is by what the target knows its work again.
    """

    target: str = Field(primary_key=True)
    kind: str
    model_id: str | None = Field(default=None, foreign_key="model.id")
    promotion_id: int | None = Field(default=None, foreign_key="promotion.id")
    place: str = ""
    mark: str = ""
    deployed_at: datetime | None = None
    tried_promotion_id: int | None = Field(default=None, foreign_key="promotion.id")
    tries: int = 0
    tried_at: datetime | None = None
    problem: str | None = None


class ChampionWatch(SQLModel, table=True):
    """What the watch found of a promoted model, one row a promotion; `alarm_at` stays once it was set."""

    __tablename__ = "champion_watch"

    promotion_id: int = Field(primary_key=True, foreign_key="promotion.id")
    model_id: str = Field(foreign_key="model.id")
    signals: list[dict[str, Any]] = json_column(default_factory=list)  # service.models.watch.Signal
    looked_at: datetime | None = None
    alarm_at: datetime | None = None
