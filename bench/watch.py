"""How often the watch over a new champion cries wolf, and how soon it finds a bad one: simulated promotions.

Each promotion draws the weeks before and the weeks after from the same people: every rater has a habit of their own of
voting down, and votes several times. `python -m bench watch --trials 20000`
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.models.watch import THUMBS_EACH, Observed, compare

TRIALS = 2000
_LIMIT = 0.01


def run(options: Sequence[str] = ()) -> dict[str, Any]:
    """The rate of false alarms, and for each way of being worse how many of 200 promotions were caught."""
    parser = argparse.ArgumentParser(prog="bench watch")
    parser.add_argument("--trials", type=int, default=TRIALS)
    trials = parser.parse_args(options).trials
    random = np.random.default_rng(12)
    alarms = sum(is_caught(random, {}) for _ in range(trials))
    caught = {name: sum(is_caught(random, change) for _ in range(200)) / 200 for name, change in WORSE.items()}
    return {
        "trials": trials,
        "false_alarms": alarms,
        "false_alarm_rate": alarms / trials,
        "caught": caught,
        "passed": alarms / trials <= _LIMIT,
    }


WORSE: Mapping[str, Mapping[str, float]] = {
    "thumbs down 20 % to 35 %": {"down": 0.15},
    "thumbs down 20 % to 50 %": {"down": 0.30},
    "broken answers 1 % to 8 %": {"broken": 0.07},
    "answers ten times as long": {"longer": 10.0},
    "answers of one word": {"longer": 0.02},
}


def is_caught(random: np.random.Generator, change: Mapping[str, float]) -> bool:
    """Whether one simulated promotion ends in an alarm; without a change it must not."""
    people = random.beta(2, 8, 150)  # each votes down so often: .2 on average, from nearly never to half of the time
    before = draw(random, people, 1200, {})
    return any(one.is_alarm for one in compare(before, draw(random, people, 1500, change)))


def draw(random: np.random.Generator, people: np.ndarray, answers: int, change: Mapping[str, float]) -> Observed:
    """What is seen of so many answers to these people, of whom each gives the three thumbs that count."""
    habits = np.repeat(np.clip(people + change.get("down", 0.0), 0, 1), THUMBS_EACH)
    return Observed(
        thumbs=(random.random(len(habits)) < random.permutation(habits)).astype(float),
        broken=(random.random(answers) < 0.01 + change.get("broken", 0.0)).astype(float),
        lengths=np.exp(random.normal(5, 0.8, answers)) * change.get("longer", 1.0),
    )
