"""What the next attempt changes after the gate said fail. It reads which rules failed, never an item of the gate.

    lost an old skill    more anchors (the users' share times 2/3), half the learning rate; again: KL to the origin too
    learnt too little, or nothing    half as many epochs more; nothing else
    broke a stop rule    preferences alone: half the learning rate, twice the tie to the SFT result (beta)

A skill may be lost in the preference stage as well, so that is held closer whenever something is lost.

Order after SCIENCE section 1: replay that covers the gated skills first, then KL to the base, then the learning rate.
"""

from collections.abc import Sequence

from pipelines.gate.decide import Check
from pipelines.gate.preference_guard import PREFERENCE
from pipelines.recipe import Recipe

_USER_SHRINKS_TO = 2 / 3
_LEARNING_RATE_FACTOR = 0.5
_EPOCHS_FACTOR = 1.5
_KL_WEIGHT = 0.1
_BETA_FACTOR = 2.0
_LEARNT_TOO_LITTLE = ("min_gain", "change")


def next_recipe(recipe: Recipe, checks: Sequence[Check], attempt: int) -> Recipe:
    """The recipe of attempt `attempt` + 1, changed for the checks that failed; the selection stays as it is."""
    failed = [check for check in checks if check.outcome == "fail"]
    if failed and all(check.criterion in _LEARNT_TOO_LITTLE for check in failed):
        return _train_longer(recipe)
    if failed and all(check.suite == PREFERENCE for check in failed):
        return _hold_closer(recipe)
    return _hold_closer(_forget_less(recipe, with_kl=attempt >= 2))


def _train_longer(recipe: Recipe) -> Recipe:
    train = recipe.train.model_copy(update={"epochs": recipe.train.epochs * _EPOCHS_FACTOR})
    return recipe.model_copy(update={"train": train})


def _hold_closer(recipe: Recipe) -> Recipe:
    learned = recipe.preference
    if learned is None:
        return recipe
    changes: dict[str, object] = {"beta": learned.beta * _BETA_FACTOR}
    if learned.learning_rate == "auto":
        changes["travel"] = learned.travel * _LEARNING_RATE_FACTOR
    else:
        changes["learning_rate"] = learned.learning_rate * _LEARNING_RATE_FACTOR
    return recipe.model_copy(update={"preference": learned.model_copy(update=changes)})


def _forget_less(recipe: Recipe, *, with_kl: bool) -> Recipe:
    mixture = recipe.mixture
    user = mixture.user * _USER_SHRINKS_TO
    anchors = mixture.anchors
    weights = anchors if any(anchors.values()) else dict.fromkeys(anchors, 1.0)
    freed = (1 - user) / sum(weights.values())
    shares: dict[str, float] = {name: weight * freed for name, weight in weights.items()}
    changes: dict[str, object] = {"learning_rate": recipe.train.learning_rate * _LEARNING_RATE_FACTOR}
    if with_kl:
        changes["kl"] = recipe.train.kl.model_copy(update={"weight": max(_KL_WEIGHT, 2 * recipe.train.kl.weight)})
    return recipe.model_copy(
        update={
            "mixture": mixture.model_copy(update={"user": user} | shares),
            "train": recipe.train.model_copy(update=changes),
        }
    )
