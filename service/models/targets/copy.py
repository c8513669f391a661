"""A copy at a path from which a program of yours loads its model; the file before is kept beside it.

eden: {kind: copy, path: /srv/eden/models/qwen2.5-32b-instruct-q4_k_m.gguf}
"""

from dataclasses import dataclass
from pathlib import Path

from service.models.targets.placing import Placement, check_file, mark_of, place_files
from service.models.targets.target import Receipt, Shipment, refuse_adapter


@dataclass(frozen=True)
class CopyTarget:
    """The file at `path`; an adapter goes to `adapter_path`, and without one only whole models are taken."""

    name: str
    path: Path
    adapter_path: Path | None = None
    kind: str = "copy"

    def where(self) -> str:
        """The path."""
        return str(self.path)

    def deploy(self, shipment: Shipment) -> Receipt:
        """Copy, check, swap; a base and the adapter that belongs on it together."""
        if self.adapter_path is None:
            refuse_adapter(shipment, "a program that reads one file")
        files = [Placement(shipment.path, shipment.sha256, self.path, _previous(self.path))]
        if self.adapter_path and shipment.adapter_path and shipment.adapter_sha256:
            kept = _previous(self.adapter_path)
            files.append(Placement(shipment.adapter_path, shipment.adapter_sha256, self.adapter_path, kept))
        place_files(files)
        return Receipt(str(self.path), mark_of(self.path))

    def check(self, mark: str) -> None:
        """Raises TargetError if the file is another one."""
        check_file(self.path, mark)


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")
