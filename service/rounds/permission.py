"""What a key may ask of a round. A recipe from the command line is its machine's own; one over the API is somebody's.

    rounds            a recipe of bases and suites that are installed here, inside the bounds of the settings
    rounds, models    the same with `promote: automatic`
    admin             bases from anywhere, the hub included; the bounds hold, the settings widen them

docs/decisions/what-a-key-may-ask.md says why, and why a key that was revoked since promotes nothing.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.anchors.sets import TINY_SET
from pipelines.backends.fetch import fetch_base
from pipelines.errors import RecipeError
from pipelines.gate.outlook import check_gates
from pipelines.recipe import APART, GUARD_SUITE, Base, GateRule, Preference, Recipe, Stops
from pipelines.stages.baseline import pin_of
from pipelines.suites.folder import open_folders, place_of
from pipelines.suites.load import load_suite
from service.api_keys import Caller, Forbidden
from service.bases.records import list_bases
from service.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
Value = tuple[str, str, float]
"""A field of the settings, the recipe's key that it bounds, and what the recipe says."""


def check_permission(settings: Settings, caller: Caller, recipe: Recipe) -> None:
    """Passes if this caller may ask for a round of this recipe over the API.

    Raises:
        Forbidden: the key lacks the right to what the recipe asks for.
        RecipeError: a base or suite that is not installed here, a gate that nothing can pass, or a figure beyond the
            bounds of the settings.
    """
    if recipe.promote == "automatic" and not caller.may("models"):
        raise Forbidden(
            f"{caller} may not ask for `promote: automatic`: that makes a model the champion and needs the "
            "scope 'models' besides 'rounds'; say `promote: manual`"
        )
    if not caller.may("admin"):
        _check_base(settings, caller, recipe.base)
        _check_anchors(caller, recipe.anchors)
    for name in recipe.evaluate.suites:
        _check_suite(settings, name)
    check_suites(settings, recipe)
    _check_bounds(settings, recipe)


def check_suites(settings: Settings, recipe: Recipe) -> None:
    """Passes if the recipe's suites are here and none of its gates is one that no candidate can pass.

    Raises:
        SuiteError, RecipeError, MissingDependency: the sentence says which and why.
    """
    named = [name for name in recipe.evaluate.suites if name != GUARD_SUITE]  # its prompts come with the anchors
    check_gates(recipe, open_folders(settings.suite_folders, named).sizes)
    if len(recipe.export.scales) > 1:
        _check_dev_items(settings, [name for name in named if name not in APART])


def _check_dev_items(settings: Settings, names: Sequence[str]) -> None:
    """Raise RecipeError where a scale would be chosen on a suite that has nothing to choose it on."""
    for name in names:
        if not load_suite(place_of(settings.suite_folders, name)).items["dev"]:
            raise RecipeError(
                f"export.scales has several scales to choose from, and the suite '{name}' has no dev items to choose on: give it "
                "some in dev.jsonl, or name one scale"
            )


def check_base_is_here(settings: Settings, recipe: Recipe) -> None:
    """Passes if the recipe's base is a folder of this machine, or one that a round would fetch. Raises ModelError."""
    if not recipe.base.hub:
        fetch_base(recipe.base, settings.project)


def _check_base(settings: Settings, caller: Caller, base: Base) -> None:
    if base.model in (adopted.folder for adopted in list_bases(settings)):
        return
    if base.hub and not (settings.project / base.model).is_dir():
        if pin_of(base, settings.models) is None:
            raise Forbidden(
                f"the base {base.model[:80]!r} is not installed here, and {caller} may not fetch it: that needs "
                "the scope 'admin', or a first round from the command line"
            )
        return
    folder, slash, name = base.model.partition("/")
    if folder != "models" or not slash or not _NAME.fullmatch(name) or not _is_model(settings.project / base.model):
        known = ", ".join(
            f"models/{one.name}" for one in sorted((settings.project / "models").glob("*")) if _is_model(one)
        )
        raise Forbidden(
            f"the base {base.model[:80]!r} is none of those installed here ({known or 'none'}); {caller} needs "
            "the scope 'admin' for another"
        )


def _check_anchors(caller: Caller, place: str | None) -> None:
    """A set of this home, or one that ships: a path from outside could name any folder of this machine."""
    if place and place != TINY_SET.as_posix() and not _NAME.fullmatch(place):
        raise Forbidden(
            f"the anchors {place[:80]!r} are no set of this home; {caller} needs the scope 'admin' for a folder, "
            "and `perennial anchors list` names the sets"
        )


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _check_suite(settings: Settings, name: str) -> None:
    folders, apart = settings.suite_folders, (*APART, GUARD_SUITE)
    if name not in apart and not (_NAME.fullmatch(name) and any((folder / name).is_dir() for folder in folders)):
        known = ", ".join([*sorted(one.name for folder in folders for one in folder.glob("*") if one.is_dir()), *apart])
        raise RecipeError(f"the suite {name[:80]!r} is none of those installed here: {known}")


def _check_bounds(settings: Settings, recipe: Recipe) -> None:
    if not any(gate.margin for gate in recipe.gates):
        raise RecipeError(
            "no gate of the recipe has a margin, so nothing would keep a worse model from passing: give one of its suites "
            "margin: {champion: 2.0, origin: 3.0}"
        )
    for field, key, value in _values(recipe):
        limit = getattr(settings, field)
        if value > limit:
            raise RecipeError(
                f"`{key}` is {value:g}, and over the API at most {limit:g} are taken here; whoever runs this machine widens "
                f"that with PERENNIAL_{field.upper()}"
            )


def _values(recipe: Recipe) -> Iterator[Value]:
    """Everything in a recipe that is bounded."""
    for gate in recipe.gates:
        yield from _gate_values(gate)
    train, evaluate = recipe.train, recipe.evaluate
    rates = [train.learning_rate, *(phase.learning_rate or 0 for phase in recipe.phases)]
    lengths = [train.epochs, *(phase.epochs or 0 for phase in recipe.phases)]
    yield "recipes_max_learning_rate", "learning_rate", max(rates)
    yield "recipes_max_epochs", "epochs", max(lengths)
    yield "recipes_max_rank", "train.lora.r", train.lora.r
    yield "recipes_max_scale", "train.lora.alpha / r", train.lora.alpha / train.lora.r
    yield "recipes_max_scale", "export.scales", max(recipe.export.scales)
    yield "recipes_max_tokens", "train.max_tokens", train.max_tokens
    yield "recipes_max_tokens", "select.response_tokens", recipe.select.response_tokens[1]
    for key in ("max_share", "max_votes"):
        share = getattr(recipe.select.per_user, key)
        yield "recipes_max_share", f"select.per_user.{key}", 0 if share == "auto" else share
    yield "recipes_max_batch", "train.batch", train.batch.per_device * train.batch.accumulate
    yield "recipes_max_items", "evaluate.items", evaluate.items or 0
    yield "recipes_max_items", "evaluate.heldout", evaluate.heldout
    yield "recipes_max_items", "evaluate.dev_items", evaluate.dev_items
    if recipe.preference is not None:
        yield from _preference_values(recipe.preference)


def _gate_values(gate: GateRule) -> Iterator[Value]:
    asked = {
        "margin.champion": gate.margin.champion if gate.margin else None,
        "margin.origin": gate.margin.origin if gate.margin else None,
        "floor_below_origin": gate.floor_below_origin,
        "min_gain (below 0)": -gate.min_gain if gate.min_gain is not None else None,
    }
    for key, value in asked.items():
        if value is not None:
            yield "gates_max_margin", f"gates.{gate.suite}.{key}", value


def _preference_values(preference: Preference) -> Iterator[Value]:
    yield "recipes_max_learning_rate", "preference.learning_rate", preference.rate(1)
    yield "recipes_max_epochs", "preference.epochs", preference.epochs
    yield "recipes_max_batch", "preference.batch", preference.batch.per_device * preference.batch.accumulate
    yield "recipes_max_items", "preference.probes", preference.probes
    usual = Stops()
    for key in ("displacement", "length", "kl", "refusal", "sycophancy"):
        times = getattr(preference.stops, key) / getattr(usual, key)
        yield "gates_max_stops", f"preference.stops.{key} (times its default)", times
