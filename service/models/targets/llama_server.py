"""The folder of a llama-server that serves several models (`--models-dir FOLDER`, or `--models-preset`).

    llama: {kind: llama_server, folder: /srv/llama, model: champion}
    llama: {kind: llama_server, folder: /srv/llama, model: champion, preset: /srv/llama/models.ini, url: "http://127.0.0.1:8080"}

    /srv/llama/champion.gguf             what answers as `champion`
    /srv/llama/champion-previous.gguf    the one before, which answers as `champion-previous`

A base with an adapter needs a preset: its section names both files. With `url` the server is told to let go of the model
that it has loaded; it loads the new one when it is asked next.
"""

import configparser
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from pipelines.artifacts import sha256_of, write_atomic
from pipelines.gguf.modelfile import write_scaled_adapter
from service.models.targets.placing import Placement, check_file, mark_of, place_files
from service.models.targets.target import Receipt, Shipment, TargetError, refuse_adapter

_SECONDS = 60.0


@dataclass(frozen=True)
class LlamaServerTarget:
    """A folder of models, with the preset file and the address of its server where they are named."""

    name: str
    folder: Path
    model: str = "champion"
    preset: Path | None = None
    url: str | None = None
    kind: str = "llama_server"

    def where(self) -> str:
        """The model's name there, and the folder."""
        return f"{self.model} in {self.folder}"

    def deploy(self, shipment: Shipment) -> Receipt:
        """Put the files there, then the preset's section, then have the server let go of the old one."""
        if self.preset is None:
            refuse_adapter(shipment, "llama-server without a preset file")
        with tempfile.TemporaryDirectory() as folder:
            adapter = _adapter(shipment, Path(folder))
            files = [
                Placement(shipment.path, shipment.sha256, self._path(), self.folder / f"{self.model}-previous.gguf")
            ]
            if adapter is not None:
                kept = self._adapter_path().with_suffix(".adapter-previous")
                files.append(Placement(adapter, sha256_of(adapter), self._adapter_path(), kept))
            place_files(files)
        if self.preset is not None:
            self._write_preset(self.preset, adapter is not None)
        if self.url is not None:
            self._unload(self.url)
        return Receipt(self.where(), mark_of(self._path()))

    def check(self, mark: str) -> None:
        """Raises TargetError if the file is another one."""
        check_file(self._path(), mark)

    def _path(self) -> Path:
        return self.folder / f"{self.model}.gguf"

    def _adapter_path(self) -> Path:
        return self.folder / f"{self.model}.adapter"  # with .gguf at its end the server would list it as a model

    def _write_preset(self, preset: Path, has_adapter: bool) -> None:
        """The model's section; the others stay."""
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=(";", "#"))
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            parser.read_string(preset.read_text(encoding="utf-8") if preset.is_file() else "")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise TargetError(f"{preset.name} is no preset file: {' '.join(str(error).split())[:200]}") from error
        kept = dict(parser[self.model]) if parser.has_section(self.model) else {}
        kept |= {"model": str(self._path())}
        kept.pop("lora", None)
        if has_adapter:
            kept["lora"] = str(self._adapter_path())
        parser[self.model] = kept
        text = io.StringIO()
        parser.write(text)
        write_atomic(preset, text.getvalue())
        preset.chmod(0o644)

    def _unload(self, url: str) -> None:
        try:
            answer = httpx.post(f"{url}/models/unload", json={"model": self.model}, timeout=_SECONDS, trust_env=False)
        except httpx.HTTPError as error:
            raise TargetError(
                f"the files are there, but llama-server at {url} does not answer ({type(error).__name__}): it goes on "
                "with the model that it has loaded"
            ) from error
        # 400 or 404: it had not loaded that model, so there is nothing to let go of
        if answer.status_code >= 500 or answer.status_code in (401, 403):
            raise TargetError(f"the files are there, but llama-server at {url} answered {answer.status_code}")


def _adapter(shipment: Shipment, folder: Path) -> Path | None:
    """The adapter with its scale in it: a section names files and no scales."""
    if shipment.adapter_path is None or shipment.scale == 1.0:
        return shipment.adapter_path
    write_scaled_adapter(shipment.adapter_path, shipment.scale, folder / "adapter.gguf")
    return folder / "adapter.gguf"
