"""The recipe that a base begins with: what the evidence says for its size, with what is on this machine."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import yaml

from pipelines.bases.facts import BaseFacts
from pipelines.recipe import Quantization
from pipelines.records import Record

_BILLION = 1e9
_ROWS = ((1.0, 8), (4.0, 4), (10.0, 2))  # billions of parameters, and examples in memory at once below them
_BATCH = 16
_LONGEST = 2048
_HEAD = """# Written by `perennial base add` by the evidence for a model of {size}; change what you like, it is not written again.
# Why each figure: one adapter on the frozen origin; {rate} for this size and rank {rank} on all linear maps (QLoRA, LoRA Without
# Regret); {batch} examples a step; cosine down to a tenth, 4 % warm-up.
"""


class BaseSource(NamedTuple):
    """Where a recipe finds its base: a folder, or a model of the hub at a commit."""

    model: str
    revision: str | None = None


class Machine(Record):
    """What trains: free memory of the device in bytes, and whether it can hold weights in 4 bits."""

    memory_bytes: int
    cuda: bool


def quantization_for(facts: BaseFacts) -> Quantization:
    """Q4_K_M from 1.5 B parameters where rows allow it: below, four bits cost more than a round may lose."""
    return "Q4_K_M" if facts.k_quants and facts.parameters >= 1.5 * _BILLION else "Q8_0"


def first_recipe(
    name: str, source: BaseSource, facts: BaseFacts, quantize: Quantization, machine: Machine, suites: Sequence[str]
) -> str:
    """The YAML of a recipe for this base; `suites` are those that are there and fit any model."""
    training = _training(facts, machine)
    base: dict[str, Any] = {"model": source.model, "policy": "instruct"}
    if source.revision:
        base |= {"hub": True, "revision": source.revision}
    large = facts.parameters >= 3 * _BILLION
    recipe = {
        "name": name,
        "base": base,
        "lineage": "from_origin",
        "select": {"min_satisfaction": 4, "response_tokens": [1, _LONGEST], "per_user": {"max_share": "auto"}},
        "mixture": {"user": 1.0},
        "min_examples": 200,
        "train": training,
        "evaluate": {"engine": "gguf", "suites": [*suites, "heldout"], "items": 2000, "heldout": 300},
        "gates": [
            *({"suite": suite, "margin": {"champion": 2.0, "origin": 3.0}} for suite in suites),
            {"suite": "heldout", "metric": "rougeL", "min_gain": -1.0},
        ],
        "export": {"form": "adapter" if large else "merged", "quantize": quantize},
        "promote": "manual",
    }
    head = _HEAD.format(
        size=size_words(facts), rate=f"{training['learning_rate']:g}", rank=training["lora"]["r"], batch=_BATCH
    )
    return head + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def explain_recipe(recipe: dict[str, Any], facts: BaseFacts, suites: Sequence[str]) -> tuple[str, ...]:
    """Five lines: what was chosen, and what is missing."""
    train, export = recipe["train"], recipe["export"]
    measured = ", ".join(suites) if suites else "no suite of your own yet"
    missing = (
        ""
        if suites
        else "; add some, or a round can only be judged on its own held-out answers: `perennial suites add`"
    )
    return (
        f"method: {train['method']}, rank {train['lora']['r']} on all linear maps, learning rate {train['learning_rate']:g}, "
        f"{train['epochs']} epochs, by the evidence for {size_words(facts)}",
        f"batch: {train['batch']['per_device']} x {train['batch']['accumulate']} examples a step, at most {train['max_tokens']} tokens each",
        f"served as: {export['form']}, {export['quantize']}",
        f"measured on: {measured}, and held-out answers{missing}",
        f"anchors: none yet; let it write its own with `perennial anchors make {recipe['name']}`, then say `anchors: {recipe['name']}` and give "
        "them shares in `mixture`",
    )


def size_words(facts: BaseFacts) -> str:
    """Its parameters as people say them."""
    billions = facts.parameters / _BILLION
    return f"{billions:.1f} B parameters" if billions >= 1 else f"{facts.parameters / 1e6:.1f} M parameters"


def _training(facts: BaseFacts, machine: Machine) -> dict[str, Any]:
    billions = facts.parameters / _BILLION
    rows = next((rows for limit, rows in _ROWS if billions < limit), 1)
    method: Literal["lora", "qlora"] = (
        "qlora" if machine.cuda and facts.parameters * 2.6 > machine.memory_bytes else "lora"
    )
    return {
        "backend": "auto",
        "method": method,
        "lora": {"r": 16, "alpha": 32, "dropout": 0.05, "target": "all-linear"},
        "learning_rate": 2e-4 if billions < 10 else 1e-4,
        "scheduler": "cosine_with_min_lr",
        "warmup": 0.04,
        "epochs": 2 if billions < 20 else 1,
        "batch": {"per_device": rows, "accumulate": _BATCH // rows},
        "max_tokens": min(_LONGEST, facts.context or _LONGEST),
        "max_grad_norm": 1.0,
        "evaluate_every": 20,
    }
