"""What is known and proven of a base model: light records, which the app side reads too."""

from pathlib import Path

from pipelines.recipe import Quantization
from pipelines.records import Record, ServedForm

PROOF_VERSION = 1
PROOFS = ("tokens", "template", "agreement", "stops")


class BaseFacts(Record):
    """A model as its folder describes it.

    Attributes:
        parameters: of the whole checkpoint, parts that are left out later included.
        context: tokens that it was trained to read.
        thinks: whether its template has a switch for thinking.
        sampling: what generation_config.json recommends.
        k_quants: whether its rows have a length that llama.cpp's k-quants can take.
        left_out: parts of the checkpoint that are neither trained nor served, in words.
    """

    architecture: str
    parameters: int
    size_bytes: int
    context: int
    vocabulary: int
    end_token: str
    thinks: bool
    licence: str
    sampling: dict[str, float]
    k_quants: bool
    left_out: tuple[str, ...]


class Proof(Record):
    """One proof: `line` says in a sentence, with its figure, what was measured."""

    name: str
    passed: bool
    line: str


class ProofRequest(Record):
    """Which proofs to make of `form`, into `folder`, which gets progress.jsonl too.

    `base` is the publisher's folder, None where only the file is there.
    """

    names: tuple[str, ...]
    base: Path | None
    form: ServedForm
    quantize: Quantization
    folder: Path


class KeptProof(Record):
    """A finished proof on disk, and what it was of: the file, and the version of the code that proved."""

    sha256: str
    version: int
    proof: Proof
