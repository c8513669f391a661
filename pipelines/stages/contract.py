"""What an Input holds besides values, and what the runner takes for a stage; the contract is in pipelines/stages."""

from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pipelines.artifacts import digest_of
from pipelines.context import StageContext
from pipelines.records import Record

Value = TypeVar("Value")
Given = TypeVar("Given", bound=BaseModel, contravariant=True)
Made = TypeVar("Made", bound=BaseModel)
MadeBy = TypeVar("MadeBy", bound=BaseModel, covariant=True)


class Keyed(Record, Generic[Value]):
    """Something large or outside the round that a stage reads, known by the digest of its content.

    The digest alone is part of a stage's key: where a file lies decides nothing.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    digest: str
    value: Value = Field(exclude=True)


class Finished(Record, Generic[Made]):
    """An earlier stage as a later one reads it: its output, and the folder with its files, by the digest of both."""

    digest: str
    output: Made = Field(exclude=True)
    folder: Path = Field(exclude=True)


class Stage(Protocol[Given, MadeBy]):
    """A module of this package that pipelines/round.py can run."""

    __name__: str

    @property
    def Output(self) -> type[MadeBy]:  # noqa: N802
        """The record that `run` makes, kept in the manifest."""
        ...

    def run(self, input: Given, out: Path, context: StageContext) -> MadeBy:
        """Do the stage's work into the folder `out`, and nowhere else."""
        ...


def key_of(input: BaseModel) -> str:
    """The digest of a stage's Input: one more field, or another value, and the stage runs again."""
    return digest_of(input.model_dump(mode="json"))
