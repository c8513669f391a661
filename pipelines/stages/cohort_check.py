"""The cohort check: train once more without the group of accounts that moves the round most, and compare on the same dev items.

Both trainings start from the same adapter and read the same anchors and fresh answers; the group's own dev items count in
neither. A labelled dev answer moved the way of its vote if a good one became likelier than under the SFT adapter, or a bad
one less likely.
"""

import csv
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.launch import prefer
from pipelines.errors import ChildCrashed, NothingToLearn, TrainingError
from pipelines.feedback.cohort import Cohort, without_raters
from pipelines.records import PreferenceItem, Record
from pipelines.suites.probes import Probe

_FIGURES = {
    "chosen": ("preferred answers", "{:.3f} nats per token"),
    "length": ("answer length", "{:.1f} tokens"),
    "kl": ("KL", "{:.3f} nats per token"),
    "refusals": ("refusals", "{:.1%}"),
    "agreement": ("agreement with wrong claims", "{:.1%}"),
}


class DevShares(Record):
    """Dev items that rest on none of the cohort: of `pairs` the share whose preferred answer is the likelier one (ties
    half), of `labelled` answers the share that moved the way of their votes; None where there are none.
    """

    pairs: int
    ahead: float | None
    labelled: int
    moved: float | None


class Trained(Record):
    """How one of the two trainings ended, and what it left."""

    planned_steps: int
    kept_step: int
    stopped_by: str | None
    dev: DevShares
    probe: Probe


class CohortCheck(Record):
    """What the round would have learnt without a group of `accounts`, which has `share` of the weight.

    `without` is None where the second training did not end: `problem` says why, `empty` that there was nothing to train on.
    """

    accounts: int
    share: float
    with_them: Trained
    without: Trained | None = None
    problem: str | None = None
    empty: bool = False

    @property
    def sentence(self) -> str:
        """The check in words, for the report."""
        who = f"the most influential group of {self.accounts} accounts ({100 * self.share:.1f} % of the weight)"
        if self.without is None and self.empty:
            return f"Cohort check: without {who} there is nothing to learn from: {self.problem}."
        if self.without is None:
            return f"Cohort check: the training without {who} failed, so nothing is compared: {self.problem}."
        said = [
            *_dev_words(self.without.dev, self.with_them.dev),
            *_probe_words(self.without.probe, self.with_them.probe),
        ]
        return (
            f"Cohort check, without {who} and with it: {'; '.join([_end_words(self.without, self.with_them), *said])}."
        )


def check_cohort(
    cohort: Cohort,
    items: Sequence[PreferenceItem],
    request: PreferRequest,
    trained: PreferOutput,
    write: Callable[[Sequence[PreferenceItem]], Path],
    out: Path,
    still_ours: Callable[[], None],
) -> CohortCheck:
    """Train as `request` says but for the group's items, in out/cohort, which is deleted afterwards.

    `trained` is what the training with them left in `out`; `write` puts the text of training items into a file.
    """
    theirs = {item.id for item in items} - {item.id for item in without_raters(items, cohort.raters)}
    check = CohortCheck(accounts=len(cohort.raters), share=cohort.share, with_them=_trained(trained, out, theirs))
    again = out / "cohort"
    again.mkdir(exist_ok=True)
    file = write(without_raters(items, cohort.raters))
    train = request.train.model_copy(
        update={"precision": trained.precision}
    )  # what is compared must not differ in more
    try:
        second = prefer(request.model_copy(update={"train_file": file, "train": train}), again, still_ours)
        return check.model_copy(update={"without": _trained(second, again, theirs)})
    except NothingToLearn as error:
        return check.model_copy(update={"problem": str(error), "empty": True})
    except (TrainingError, ChildCrashed) as error:  # the round has its adapter; what fails here is only the comparison
        return check.model_copy(update={"problem": str(error)})
    finally:
        shutil.rmtree(again)


def dev_shares(path: Path, left_out: Collection[str]) -> DevShares:
    """The shares in a preference_dev.csv, without the items whose ids are `left_out`."""
    items: dict[str, dict[str, tuple[float, float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["id"] not in left_out:
                items.setdefault(row["id"], {})[row["answer"]] = (float(row["before"]), float(row["after"]))
    pairs = [_ahead(answers) for answers in items.values() if len(answers) == 2]
    moved = [_moved(answers) for answers in items.values() if len(answers) == 1]
    return DevShares(pairs=len(pairs), ahead=_mean(pairs), labelled=len(moved), moved=_mean(moved))


def _trained(output: PreferOutput, folder: Path, left_out: Collection[str]) -> Trained:
    return Trained(
        planned_steps=output.planned_steps,
        kept_step=output.kept_step,
        stopped_by=output.stopped_by,
        dev=dev_shares(folder / output.dev, left_out),
        probe=output.probe_after,
    )


def _ahead(answers: Mapping[str, tuple[float, float]]) -> float:
    (_, chosen), (_, rejected) = answers["chosen"], answers["rejected"]
    return 1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0


def _moved(answers: Mapping[str, tuple[float, float]]) -> float:
    [(side, (before, after))] = answers.items()
    return float(after > before if side == "chosen" else after < before)


def _end_words(without: Trained, with_them: Trained) -> str:
    ends = [
        f"the weights of step {one.kept_step} of {one.planned_steps} were kept"
        + (f" (stopped by {one.stopped_by})" if one.stopped_by else "")
        for one in (without, with_them)
    ]
    return f"{ends[0]}, and {ends[1]}" if ends[0] != ends[1] else f"both times {ends[0]}"


def _dev_words(without: DevShares, with_them: DevShares) -> list[str]:
    said = []
    if without.ahead is not None and with_them.ahead is not None:
        said.append(
            f"the preferred answer is the likelier one in {100 * without.ahead:.1f} % and {100 * with_them.ahead:.1f} % of "
            f"{without.pairs} dev pairs"
        )
    if without.moved is not None and with_them.moved is not None:
        said.append(
            f"{100 * without.moved:.1f} % and {100 * with_them.moved:.1f} % of {without.labelled} rated dev answers moved the "
            "way of their votes"
        )
    return said or ["no dev items of others to compare on"]


def _probe_words(without: Probe, with_them: Probe) -> list[str]:
    said = []
    for name, (what, form) in _FIGURES.items():
        values = [getattr(probe, name) for probe in (without, with_them)]
        if None not in values:
            said.append(f"{what} {form.format(values[0])} and {form.format(values[1])}")
    return said


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
