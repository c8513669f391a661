"""What the service notes to know its own state: that it can write, and that the clock went as clocks go."""

from datetime import datetime

from sqlmodel import Field, SQLModel


class WriteProbe(SQLModel, table=True):
    """One row whose number grows with every probe: an unchanged value would be written nowhere."""

    __tablename__ = "write_probe"

    id: int = Field(primary_key=True)
    number: int


class RetentionLook(SQLModel, table=True):
    """One row: the last look for raw text that is due, since when looks follow one another, and the last one before.

    See service/curation/retention.py for what is deleted on the strength of it.
    """

    __tablename__ = "retention_look"

    id: int = Field(primary_key=True)
    at: datetime
    since: datetime
    before: datetime | None = None
