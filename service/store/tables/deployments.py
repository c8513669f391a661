"""What stands at the deploy targets."""

from datetime import datetime

from sqlmodel import Field, SQLModel


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
