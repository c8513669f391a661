"""The cohort check: train once more without the group of accounts that moves the round most, and compare on the same dev items."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.cohort import Cohort, without_raters
from pipelines.errors import TrainingError
from pipelines.records import PreferenceItem, Record
from pipelines.stages.prefer import prefer


class CohortCheck(Record):
    """What the round would have learnt without a group of `accounts`, which has `share` of the weight.

    `dev_with` and `dev_without` are shares of dev pairs whose preferred answer is the likelier one; `problem` says why
    there was nothing to train without them.
    """

    accounts: int
    share: float
    dev_with: float | None
    dev_without: float | None = None
    problem: str | None = None

    @property
    def sentence(self) -> str:
        """The check in words, for the report."""
        who = f"the most influential group of {self.accounts} accounts ({100 * self.share:.1f} % of the weight)"
        if self.problem is not None:
            return f"Cohort check: without {who} there is nothing to learn from: {self.problem}."
        if self.dev_with is None or self.dev_without is None:
            return f"Cohort check: trained once more without {who}; no dev pairs to compare on."
        return (
            f"Cohort check: without {who} the preferred answer is the likelier one in {100 * self.dev_without:.1f} % of dev "
            f"pairs, {100 * self.dev_with:.1f} % with it."
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
    """Train as `request` says but for the group's items, in `out`, which is deleted afterwards.

    `write` puts the text of training items into a file.
    """
    found = CohortCheck(accounts=len(cohort.raters), share=cohort.share, dev_with=trained.dev_after)
    out.mkdir(exist_ok=True)
    file = write(without_raters(items, cohort.raters))
    try:
        again = prefer(request.model_copy(update={"train_file": file}), out, still_ours)
    except TrainingError as error:
        return found.model_copy(update={"problem": str(error)})
    finally:
        shutil.rmtree(out)
    return found.model_copy(update={"dev_without": again.dev_after})
