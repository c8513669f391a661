"""Adopting a base: looked at, converted, proven, and given a recipe; what was done already is not done again.

var/bases/smollm2/
├── tokens.json ...   a proof each, with the file that it was of
├── progress.jsonl    how far the one under way is
└── base.json         the adopted base; written last
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from pipelines.artifacts import new_file, require_space, sha256_of
from pipelines.backends.fetch import BaseFolder
from pipelines.bases.facts import PROOF_VERSION, PROOFS, BaseFacts, KeptProof, Proof, ProofRequest
from pipelines.bases.first_recipe import Machine, quantization_for
from pipelines.context import Baseline
from pipelines.errors import GGUFError, Refused
from pipelines.isolated import run_in_child
from pipelines.progress import PROGRESS_FILE, read_progress
from pipelines.recipe import Quantization
from pipelines.records import Record, ServedForm
from pipelines.stages.baseline import prepare_origin

_SECONDS = 12 * 3600.0
_FLOAT_BYTES, _QUANTIZED_BYTES = 2.1, 1.1  # per parameter: the float GGUF between, and at most what is left of it
Show = Callable[[str, float | None, float | None], None]
"""Hears of every step: its name, how far it is, and of how much (None where it cannot be told)."""


class Prepared(Record):
    """A base that was looked at and converted; `facts` and the `machine` that would train are None for a file alone."""

    facts: BaseFacts | None
    machine: Machine | None
    quantize: Quantization
    origin: Baseline


def prepare_base(base: BaseFolder, models: Path, quantize: Quantization | None, show: Show) -> Prepared:
    """Look at a folder and make the file that would be served of it, unless that is there.

    Raises:
        ModelError, GGUFError: it cannot be adopted, in a sentence with the way out. NoSpace: the disk is too small.
    """
    show("look", None, None)
    asked = {"folder": str(base.folder)}
    answer = run_in_child("pipelines.bases.inspect:inspect_in_this_process", asked)
    facts, machine = BaseFacts.model_validate(answer["facts"]), Machine(**answer["machine"])
    chosen = quantize or quantization_for(facts)
    models.mkdir(parents=True, exist_ok=True)
    require_space(models, round(facts.parameters * (_FLOAT_BYTES + _QUANTIZED_BYTES)))
    show("convert", None, None)
    return Prepared(facts=facts, machine=machine, quantize=chosen, origin=prepare_origin(base, chosen, models))


def take_file(file: Path, name: str, models: Path) -> Prepared:
    """A GGUF that somebody else made, copied among the models. Raises GGUFError if it is none."""
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise GGUFError(f"{file} does not begin as a GGUF file does; was the download whole?")
    sha256 = sha256_of(file)
    folder = models / f"{name}-origin-{sha256[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "model.gguf"
    if not out.is_file():
        with new_file(out, file.stat().st_size) as temporary:
            shutil.copyfile(file, temporary)
    form = ServedForm(kind="merged", path=str(out), sha256=sha256)
    return Prepared(facts=None, machine=None, quantize="F16", origin=Baseline(id=folder.name, form=form))


def prove_base(base: Path | None, prepared: Prepared, folder: Path, show: Show) -> tuple[Proof, ...]:
    """Every proof that can be made, those of an earlier run included; of a file alone, that it stops.

    Raises:
        Refused: one failed; the sentence is its line.
        ModelError, GGUFError, ChildCrashed: one could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names, sha256 = PROOFS if base else ("stops",), prepared.origin.form.sha256
    missing = tuple(name for name in names if _kept(folder / f"{name}.json", sha256) is None)
    if missing:
        _prove(
            ProofRequest(
                names=missing, base=base, form=prepared.origin.form, quantize=prepared.quantize, folder=folder
            ),
            show,
        )
    proofs = tuple(proof for name in names if (proof := _kept(folder / f"{name}.json", sha256)))
    for proof in proofs:
        if not proof.passed:
            raise Refused(f"the base is not adopted: {proof.line}")
    return proofs


def _prove(request: ProofRequest, show: Show) -> None:
    """Make the proofs in a child process, and say how far it is."""
    progress, looked = request.folder / PROGRESS_FILE, 0.0
    progress.unlink(missing_ok=True)

    def look() -> None:
        nonlocal looked
        if time.monotonic() - looked > 1:
            looked = time.monotonic()
            if lines := read_progress(progress):
                show(str(lines[-1]["stage"]), float(lines[-1]["done"]), float(lines[-1]["total"]))

    function, arguments = "pipelines.bases.proofs:prove_in_this_process", request.model_dump(mode="json")
    run_in_child(function, arguments, timeout_seconds=_SECONDS, still_ours=look)
    progress.unlink(missing_ok=True)


def _kept(path: Path, sha256: str) -> Proof | None:
    """A proof of this very file by this code; None where there is none yet."""
    try:
        kept = KeptProof.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return kept.proof if (kept.sha256, kept.version) == (sha256, PROOF_VERSION) else None
