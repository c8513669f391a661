"""LM Studio's folder of models, whose layout is PUBLISHER/MODEL/FILE.

studio: {kind: lm_studio, folder: /srv/lmstudio/models}

/srv/lmstudio/models/perennial/champion/champion.gguf
/srv/lmstudio/models/perennial/champion-previous/champion-previous.gguf
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.models.targets.placing import Placement, check_file, make_readable, mark_of, place_files
from service.models.targets.target import Receipt, Shipment, TargetError, refuse_adapter


@dataclass(frozen=True)
class LMStudioTarget:
    """A model of LM Studio under the name PUBLISHER/MODEL."""

    name: str
    folder: Path
    publisher: str = "perennial"
    model: str = "champion"
    kind: str = "lm_studio"

    def where(self) -> str:
        """The model as LM Studio lists it."""
        return f"{self.publisher}/{self.model} in {self.folder}"

    def deploy(self, shipment: Shipment) -> Receipt:
        """Put the file there; LM Studio reads it when the model is loaded next."""
        refuse_adapter(shipment, "LM Studio")
        if not self.folder.is_dir():
            raise TargetError(
                f"LM Studio's folder {self.folder} is not there; see My Models in LM Studio for its place"
            )
        previous = self._path(f"{self.model}-previous")
        for folder in (self.folder / self.publisher, self._path(self.model).parent, previous.parent):
            make_readable(folder)
        try:
            place_files([Placement(shipment.path, shipment.sha256, self._path(self.model), previous)])
        finally:
            with suppress(OSError):
                previous.parent.rmdir()  # nothing was there before: no empty model in its list
        return Receipt(self.where(), mark_of(self._path(self.model)))

    def check(self, mark: str) -> None:
        """Raises TargetError if the file is another one."""
        check_file(self._path(self.model), mark)

    def _path(self, model: str) -> Path:
        return self.folder / self.publisher / model / f"{model}.gguf"
