"""Adopting a base: looked at, converted, proven, and given a recipe; what was done already is not done again.

var/bases/smollm2/
├── tokens.json ...   a proof each, with the file that it was of
├── progress.jsonl    how far the one under way is
└── base.json         the adopted base; written last
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
_LOOK_SECONDS = 1.0
_FLOAT_BYTES = 2.1  # per parameter, of the float GGUF between; and of the file that is left of it:
_BYTES_KEPT: dict[Quantization, float] = {"Q4_K_M": 0.75, "Q5_K_M": 0.83, "Q6_K": 0.9, "Q8_0": 1.1, "F16": 2.1}
_MB = 1e6
OF_A_FILE = ("stops",)
_OF_A_SOURCE = ("tokens", "agreement")  # the weights are the file's own, so they are held to the limits of eight bits
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
    facts, machine = look_at(base)
    chosen = quantize or quantization_for(facts)
    models.mkdir(parents=True, exist_ok=True)
    wanted = round(facts.parameters * (_FLOAT_BYTES + _BYTES_KEPT[chosen]))
    require_space(models, wanted)
    with _showing_growth(models, f"{base.name}-origin-*.tmp", wanted, show):
        origin = prepare_origin(base, chosen, models)
    return Prepared(facts=facts, machine=machine, quantize=chosen, origin=origin)


def look_at(base: BaseFolder) -> tuple[BaseFacts, Machine]:
    """What a folder holds, and the machine that would train it. Raises ModelError if it cannot be adopted."""
    asked = {"folder": str(base.folder)}
    answer = run_in_child("pipelines.bases.inspect:inspect_in_this_process", asked)
    return BaseFacts.model_validate(answer["facts"]), Machine(**answer["machine"])


def check_gguf(file: Path) -> None:
    """Raise GGUFError if a file does not begin as a GGUF does."""
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise GGUFError(f"{file} does not begin as a GGUF file does; was the download whole?")


def take_file(file: Path, name: str, models: Path) -> Prepared:
    """A GGUF that somebody else made, copied among the models."""
    sha256 = sha256_of(file)
    folder = models / f"{name}-origin-{sha256[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "model.gguf"
    if not out.is_file():
        with new_file(out, file.stat().st_size) as temporary:
            shutil.copyfile(file, temporary)
    form = ServedForm(kind="merged", path=str(out), sha256=sha256)
    return Prepared(facts=None, machine=None, quantize="F16", origin=Baseline(id=folder.name, form=form))


def restored_from(file: Path, folder: Path, proofs: Path, show: Show) -> tuple[Proof, ...]:
    """Make a model folder of a GGUF, unless it is there, and prove that it says what the file says.

    Raises:
        ModelError: it cannot be made, in a sentence. Refused: a proof failed. NoSpace: the disk is too small.
    """
    show("restore", None, None)
    if not folder.is_dir():
        arguments = {"file": str(file.absolute()), "folder": str(folder)}
        run_in_child("pipelines.bases.restore:restore_in_this_process", arguments, timeout_seconds=_SECONDS)
    form = ServedForm(kind="merged", path=str(file), sha256=sha256_of(file))
    prepared = Prepared(facts=None, machine=None, quantize="Q8_0", origin=Baseline(id=folder.name, form=form))
    return tuple(
        proof.model_copy(update={"line": f"restored from {file.name}: {proof.line.removeprefix('Q8_0 ')}"})
        for proof in prove_base(folder, prepared, proofs, _of_the_file(show), _OF_A_SOURCE)
    )


def _of_the_file(show: Show) -> Show:
    """Names the steps of these proofs otherwise than those that the base's own have."""
    return lambda step, done, total: show(f"{step} of the file", done, total)


def prove_base(
    base: Path | None, prepared: Prepared, folder: Path, show: Show, names: tuple[str, ...] = PROOFS
) -> tuple[Proof, ...]:
    """The proofs of these names, those of an earlier run included; `base` is None where there is a file alone.

    Raises:
        Refused: one failed; the sentence is its line.
        ModelError, GGUFError, ChildCrashed: one could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = prepared.origin.form.sha256
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


@contextmanager
def _showing_growth(folder: Path, pattern: str, wanted_bytes: int, show: Show) -> Iterator[None]:
    """While the block runs, says how many megabytes of the files in the making are written, of about how many."""
    ended = threading.Event()

    def follow() -> None:
        most = 0
        while not ended.wait(_LOOK_SECONDS):
            most = max(most, _written_bytes(folder, pattern))
            show("convert", min(most, wanted_bytes) / _MB, wanted_bytes / _MB)

    show("convert", None, None)
    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _written_bytes(folder: Path, pattern: str) -> int:
    """What lies below the folders of this pattern; a file that goes meanwhile counts as nothing."""
    size = 0
    for file in (file for place in folder.glob(pattern) for file in place.rglob("*")):
        with suppress(OSError):
            size += file.stat().st_size
    return size


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
