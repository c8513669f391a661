"""Which runs there are, and the question each answers. A run is a name, a setting and a seed.

core     dpo and kto x 100 and 500 votes; 20 and 40 % noise at 500; ups to downs 90:10; 500 without anchors;
         with and without anchors at eight times the learning rate, where forgetting begins
poison   {5, 25, 100} planted ratings x {1, 10} accounts x with and without the defences, the ten accounts new; and,
         with the defences, ten that were made long before
"""

from collections.abc import Iterator
from typing import Literal

from pipelines.records import Record

PRIMARY_SEEDS, SEEDS = 5, 3
HOT = 8
_PLANTED = (5, 25, 100)
Method = Literal["dpo", "kto"]


class Run(Record):
    """One training run of the core grid. `noise` is the share of flipped votes, `ups` the share of ups among them.

    `hot` multiplies the learning rate by HOT; without `anchors` nothing goes along with the votes.
    """

    method: Method
    votes: int
    noise: float = 0.0
    ups: float = 0.5
    anchors: bool = True
    seed: int = 0
    hot: bool = False

    @property
    def arm(self) -> str:
        """The setting without its seed: runs of one arm are averaged."""
        parts = [self.method, str(self.votes)]
        parts += [f"noise{100 * self.noise:.0f}"] if self.noise else []
        parts += [f"ups{100 * self.ups:.0f}"] if self.ups != 0.5 else []
        return "-".join([*parts, *(["hot"] if self.hot else []), *([] if self.anchors else ["bare"])])

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.seed}"


class PoisonRun(Record):
    """One poisoning: `ratings` planted up-votes from `accounts` accounts; 0 ratings is the clean reference.

    Ten accounts are two days old, unless the attacker was `patient`; a single account is old.
    """

    ratings: int
    accounts: int
    defended: bool
    seed: int = 0
    patient: bool = False

    @property
    def arm(self) -> str:
        defence = "defended" if self.defended else "open"
        parts = [f"{self.ratings}-ratings-{self.accounts}-accounts" if self.ratings else "clean", defence]
        return "-".join([*parts, *(["patient"] if self.patient else [])])

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.seed}"


def core_grid() -> list[Run]:
    """Primary contrasts first, so that an interrupted grid has what matters most."""
    return [*_seeds(PRIMARY_SEEDS, _primary()), *_seeds(SEEDS, _secondary())]


def poison_grid() -> list[PoisonRun]:
    """Twelve cells and the clean rate with and without defences, three seeds each; then the patient ones, one seed."""
    cells = [(0, 1), *((ratings, accounts) for ratings in _PLANTED for accounts in (1, 10))]
    return [
        *(
            PoisonRun(ratings=ratings, accounts=accounts, defended=defended, seed=seed)
            for seed in range(SEEDS)
            for ratings, accounts in cells
            for defended in (False, True)
        ),
        *(PoisonRun(ratings=ratings, accounts=10, defended=True, patient=True) for ratings in _PLANTED),
    ]


def _primary() -> Iterator[Run]:
    for method in ("dpo", "kto"):
        for votes in (500, 100):
            yield Run(method=method, votes=votes)
        yield Run(method=method, votes=500, anchors=False)


def _secondary() -> Iterator[Run]:
    for method in ("dpo", "kto"):
        for noise in (0.2, 0.4):
            yield Run(method=method, votes=500, noise=noise)
        for anchors in (True, False):
            yield Run(method=method, votes=500, hot=True, anchors=anchors)
    yield Run(method="kto", votes=500, ups=0.9)


def _seeds(count: int, runs: Iterator[Run]) -> list[Run]:
    arms = list(runs)
    return [arm.model_copy(update={"seed": seed}) for seed in range(count) for arm in arms]
