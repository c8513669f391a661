"""The recipe that a base begins with: what the evidence says for its size, with what is on this machine."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import yaml

from pipelines.bases.facts import BaseFacts
from pipelines.gate.outlook import passing_margin
from pipelines.mixture.anchors import AnchorName
from pipelines.recipe import Metric, Quantization
from pipelines.records import Record
from pipelines.suites.scores import PERPLEXITY

_BILLION = 1e9
_ROWS = ((1.0, 8), (4.0, 4), (10.0, 2))  # billions of parameters, and examples in memory at once below them
# Below so many billions of parameters, so much; the smallest take the upper end of what holds (`perennial plan` warns above it).
_RATES = ((0.5, 4e-4), (10.0, 2e-4))
_BATCH = 16
_LONGEST = 2048
_ITEMS, _HELDOUT = 2000, 300
_MARGINS = (2.0, 3.0, 4.0, 5.0, 6.0)  # points; more would let through what a person notices
_HELDOUT_LOSS = -3.0  # ROUGE points; on 300 answers an unchanged model passes it in three rounds of four
_USERS = 0.5  # of the tokens, the rest anchors as the sets have them; 3 : 1 in short rounds taught as much (docs/evidence.md)
_ANCHORS: Mapping[AnchorName, float] = {"general": 0.5, "coding": 0.3, "reasoning": 0.2}
_HEAD = """# Written by `perennial base add` by the evidence for a model of {size}; change what you like; only
# `perennial base recipe {name}` writes it again, with the suites and anchors that are there by then, and not what you changed.
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


class Here(NamedTuple):
    """What of this home a recipe can name: by suite its metric and its gate items, and the set of anchors of this very base, if there is one.

    `pools` are the kinds that the set has, `language` whether it has prompts for the language guard.
    """

    suites: Mapping[str, tuple[Metric, int]]
    anchors: str | None = None
    pools: tuple[AnchorName, ...] = ()
    language: bool = False


def first_recipe(
    name: str, source: BaseSource, facts: BaseFacts, quantize: Quantization, machine: Machine, here: Here
) -> str:
    """The YAML of a recipe for this base, with what is there for it."""
    training = _training(facts, machine)
    base: dict[str, Any] = {"model": source.model, "policy": "instruct"}
    if source.revision:
        base |= {"hub": True, "revision": source.revision}
    form: Literal["merged", "adapter"] = "adapter" if facts.parameters >= 3 * _BILLION else "merged"
    gated = _margins(here, form)
    guard = ["language"] if here.language else []
    recipe = {
        "name": name,
        "base": base,
        **({"anchors": here.anchors} if here.anchors else {}),
        "lineage": "from_origin",
        "select": {"min_satisfaction": 4, "response_tokens": [1, _LONGEST], "per_user": {"max_share": "auto"}},
        "mixture": _mixture(here.pools),
        "min_examples": 200,
        "train": training,
        "evaluate": {"engine": "gguf", "suites": [*gated, "heldout", *guard], "items": _ITEMS, "heldout": _HELDOUT},
        "gates": [
            *_gates(here, gated),
            {"suite": "heldout", "metric": "rougeL", "min_gain": _HELDOUT_LOSS},
            *({"suite": name} for name in guard),
        ],
        "export": {"form": form, "quantize": quantize},
        "promote": "manual",
    }
    head = _HEAD.format(
        name=name,
        size=size_words(facts),
        rate=f"{training['learning_rate']:g}",
        rank=training["lora"]["r"],
        batch=_BATCH,
    )
    return head + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def explain_recipe(recipe: Mapping[str, Any], facts: BaseFacts) -> tuple[str, ...]:
    """Five lines: what was chosen, and what is missing."""
    train, export, name = recipe["train"], recipe["export"], recipe["name"]
    gated = [f"{gate['suite']} (margin {gate['margin']['origin']:g})" for gate in recipe["gates"] if "margin" in gate]
    measured = ", ".join(gated) if gated else "no suite of your own yet"
    missing = "" if gated else f"; add some with `perennial suites add`, then `perennial base recipe {name}`"
    return (
        f"method: {train['method']}, rank {train['lora']['r']} on all linear maps, learning rate {train['learning_rate']:g}, "
        f"{train['epochs']} epochs, by the evidence for {size_words(facts)}",
        f"batch: {train['batch']['per_device']} x {train['batch']['accumulate']} examples a step, at most {train['max_tokens']} tokens each",
        f"served as: {export['form']}, {export['quantize']}",
        f"measured on: {measured}, and held-out answers{missing}",
        _explain_anchors(recipe),
    )


def _explain_anchors(recipe: Mapping[str, Any]) -> str:
    name = recipe["name"]
    if not recipe.get("anchors"):
        return (
            f"anchors: none yet, so what nobody asks about may be forgotten; let it write its own with `perennial anchors make {name}`, "
            f"then `perennial base recipe {name}` puts them in"
        )
    shares = ", ".join(f"{kind} {share:.0%}" for kind, share in recipe["mixture"].items() if kind != "max_repeats")
    return f"anchors: {recipe['anchors']}; mixture in tokens: {shares}"


def _gates(here: Here, gated: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    for suite, points in gated.items():
        named = {"metric": PERPLEXITY} if here.suites[suite][0] == PERPLEXITY else {}
        yield {"suite": suite, **named, "margin": {"champion": points, "origin": points}}


def _mixture(pools: tuple[AnchorName, ...]) -> dict[str, float]:
    """Half from users, half from the anchors that there are."""
    if not pools:
        return {"user": 1.0}
    whole = sum(_ANCHORS[kind] for kind in pools)
    shares = {str(kind): round((1 - _USERS) * _ANCHORS[kind] / whole, 2) for kind in pools}
    return {"user": round(1 - sum(shares.values()), 2), **shares}


def _margins(here: Here, form: Literal["merged", "adapter"]) -> dict[str, float]:
    """By suite the margin that an unchanged model can hold; a suite with too few items for any is left out."""
    margins = {
        suite: passing_margin(metric, min(items, _ITEMS), form, _MARGINS)
        for suite, (metric, items) in here.suites.items()
    }
    return {suite: points for suite, points in margins.items() if points is not None}


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
        "learning_rate": next((rate for limit, rate in _RATES if billions < limit), 1e-4),
        "scheduler": "cosine_with_min_lr",
        "warmup": 0.04,
        "epochs": 2 if billions < 20 else 1,
        "batch": {"per_device": rows, "accumulate": _BATCH // rows},
        "max_tokens": min(_LONGEST, facts.context or _LONGEST),
        "max_grad_norm": 1.0,
        "evaluate_every": 20,
    }
