"""An Ollama that answers with the champion, through its HTTP API.

laptop: {kind: ollama, url: "http://127.0.0.1:11434", model: eden, parameters: {temperature: 0.7}}

HEAD, POST /api/blobs/sha256:...   the files, once
POST /api/create  eden:next        from our Modelfile
POST /api/chat    eden:next        it answers, or nothing is changed
POST /api/copy    eden -> eden:previous, then eden:next -> eden
DELETE /api/delete eden:next
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pipelines.artifacts import sha256_of
from pipelines.gguf.modelfile import Modelfile, Value, write_modelfile, write_scaled_adapter
from service.models.targets.target import Receipt, Shipment, TargetError

_TIMEOUT = httpx.Timeout(connect=5.0, read=1800.0, write=600.0, pool=None)  # it hashes, and loads, what may be 40 GB
_CHUNK = 1 << 20


@dataclass(frozen=True)
class OllamaTarget:
    """The model `model` of one Ollama; the one before stays as its tag `previous`."""

    name: str
    url: str
    model: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    system: str | None = None
    kind: str = "ollama"

    def where(self) -> str:
        """The model's name there, and the address."""
        return f"{self.model} at {self.url}"

    def deploy(self, shipment: Shipment) -> Receipt:
        """Create it beside the old one, ask it something, then swap the names."""
        modelfile = modelfile_of(shipment, self.parameters, self.system)
        following = self._tagged("next")
        with httpx.Client(base_url=self.url, timeout=_TIMEOUT, trust_env=False) as client:
            api = _Api(client, self.url)
            try:
                self._create(api, shipment, modelfile, following)
                self._try(api, following)
                if self._digest(api, self._full()) is not None:
                    api.call("POST", "/api/copy", {"source": self._full(), "destination": self._tagged("previous")})
                api.call("POST", "/api/copy", {"source": following, "destination": self._full()})
            finally:
                api.forget(following)
            digest = self._digest(api, self._full())
        if digest is None:
            raise TargetError(f"Ollama at {self.url} took '{self._full()}' and does not list it")
        return Receipt(self.where(), digest)

    def check(self, mark: str) -> None:
        """Raises TargetError if the name stands for another model."""
        with httpx.Client(base_url=self.url, timeout=5.0, trust_env=False) as client:
            digest = self._digest(_Api(client, self.url), self._full())
        if digest != mark:
            raise TargetError(f"'{self._full()}' {'is gone from' if digest is None else 'is another model in'} Ollama")

    def _create(self, api: "_Api", shipment: Shipment, modelfile: Modelfile, name: str) -> None:
        api.upload(shipment.path, shipment.sha256)
        if shipment.adapter_path is None or shipment.adapter_sha256 is None:
            api.call("POST", "/api/create", modelfile.request(name, shipment.sha256))
            return
        with tempfile.TemporaryDirectory() as folder:
            adapter, sha256 = shipment.adapter_path, shipment.adapter_sha256
            if shipment.scale != 1.0:  # Ollama knows no scale
                adapter = Path(folder) / "adapter.gguf"
                write_scaled_adapter(shipment.adapter_path, shipment.scale, adapter)
                sha256 = sha256_of(adapter)
            api.upload(adapter, sha256)
            api.call("POST", "/api/create", modelfile.request(name, shipment.sha256, sha256))

    def _try(self, api: "_Api", name: str) -> None:
        chat = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "stream": False}
        answer = api.call("POST", "/api/chat", {**chat, "options": {"num_predict": 4}}).json()
        if not answer.get("done"):
            raise TargetError(f"Ollama at {self.url} made '{name}', which does not answer")

    def _digest(self, api: "_Api", name: str) -> str | None:
        listed = api.call("GET", "/api/tags").json().get("models") or []
        return next((str(one.get("digest")) for one in listed if name in (one.get("name"), one.get("model"))), None)

    def _full(self) -> str:
        return self.model if ":" in self.model.rpartition("/")[2] else f"{self.model}:latest"

    def _tagged(self, word: str) -> str:
        base, _, tag = self._full().rpartition(":")
        return f"{base}:{word}" if tag == "latest" else f"{base}:{tag}-{word}"


def modelfile_of(
    shipment: Shipment, parameters: Mapping[str, Value] | None = None, system: str | None = None
) -> Modelfile:
    """The Modelfile of a model; it reads as much of a chat as our engine does unless the parameters say otherwise."""
    wanted = {"num_ctx": shipment.context, **(parameters or {})}
    return write_modelfile(shipment.path, wanted, system, shipment.adapter_path is not None)


class _Api:
    """Ollama's API, its refusals as sentences."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client, self._url = client, url

    def upload(self, path: Path, sha256: str) -> None:
        """Send a file unless it is there already."""
        place = f"/api/blobs/sha256:{sha256}"
        if self.call("HEAD", place, allowed=(404,)).status_code == 404:
            self.call("POST", place, path)

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | Path | None = None, allowed: tuple[int, ...] = ()
    ) -> httpx.Response:
        """One exchange. Raises TargetError with what Ollama says."""
        try:
            if isinstance(body, Path):
                answer = self._client.request(method, path, content=_pieces(body), headers=_length(body))
            else:
                answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise TargetError(
                f"Ollama at {self._url} does not answer ({type(error).__name__}): is it running?"
            ) from error
        if not answer.is_success and answer.status_code not in allowed:
            raise TargetError(f"Ollama at {self._url} refused {path}: {_said(answer)}")
        return answer

    def forget(self, name: str) -> None:
        """Delete what was only needed on the way; that it is not there is fine."""
        try:
            self._client.request("DELETE", "/api/delete", json={"model": name})
        except httpx.HTTPError:
            return  # it will be written over next time


def _pieces(path: Path) -> Any:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _length(path: Path) -> dict[str, str]:
    return {"content-length": str(path.stat().st_size)}


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"it answered {answer.status_code}"
