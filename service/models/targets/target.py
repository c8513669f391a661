"""What every deploy target is: a place outside where the champion is to answer too.

deploy(shipment) -> Receipt     the champion answers there; or TargetError, and there everything is as before
check(receipt) -> None          raises TargetError if somebody changed since what it left there
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pipelines.errors import PerennialError


class TargetError(PerennialError):
    """A target that cannot be brought to the champion; the model before is live there."""


@dataclass(frozen=True)
class Shipment:
    """The champion as it is brought to a target: its files with whole paths, and the promotion that made it champion."""

    model_id: str
    promotion_id: int
    kind: str
    by: str
    at: datetime
    previous_id: str | None
    path: Path
    sha256: str
    adapter_path: Path | None
    adapter_sha256: str | None
    scale: float
    quantization: str
    size_bytes: int
    context: int


@dataclass(frozen=True)
class Receipt:
    """Where the model answers now, and a mark by which the target knows its work again: a size, a digest."""

    where: str
    mark: str = ""


class Target(Protocol):
    """One place."""

    @property
    def name(self) -> str:
        """What its owner calls it."""
        ...

    @property
    def kind(self) -> str:
        """The file of this folder that it is of."""
        ...

    def where(self) -> str:
        """The place in a few words, for lists."""
        ...

    def deploy(self, shipment: Shipment) -> Receipt:
        """Have the model answer there. Raises TargetError, ArtifactError or OSError; the model before answers then."""
        ...

    def check(self, mark: str) -> None:
        """Raises TargetError if what was left there is not there any more."""
        ...


def refuse_adapter(shipment: Shipment, what: str) -> None:
    """Raises TargetError for a model that is a base with an adapter, where only whole models can be loaded."""
    if shipment.adapter_path is not None:
        raise TargetError(
            f"'{shipment.model_id}' is served as a base with an adapter, and {what} loads whole models only; "
            "`export: {form: merged}` in the recipe makes whole ones"
        )
