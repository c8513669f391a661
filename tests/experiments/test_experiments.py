"""The experiments' own arithmetic: what is asked, what is flipped, what is reported."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from experiments import report
from experiments.grid import PoisonRun, Run, core_grid, poison_grid
from experiments.task import all_prompts, cast_votes, style_examples
from pipelines.records import Turn
from tiny.tasks import CLOSINGS


def test_the_core_grid_has_five_seeds_of_every_primary_contrast_and_three_of_the_rest() -> None:
    seeds = Counter(run.arm for run in core_grid())

    assert {arm for arm, count in seeds.items() if count == 5} == {
        "dpo-500",
        "dpo-100",
        "dpo-500-bare",
        "kto-500",
        "kto-100",
        "kto-500-bare",
    }
    assert {arm for arm, count in seeds.items() if count == 3} == {
        "dpo-500-noise20",
        "dpo-500-noise40",
        "kto-500-noise20",
        "kto-500-noise40",
        "kto-500-ups90",
        "dpo-500-hot",
        "dpo-500-hot-bare",
        "kto-500-hot",
        "kto-500-hot-bare",
    }
    assert len({run.name for run in core_grid()}) == len(core_grid())


def test_poisoning_has_twelve_cells_its_clean_rate_and_patient_attackers() -> None:
    arms = Counter(run.arm for run in poison_grid())

    assert len([arm for arm, seeds in arms.items() if seeds == 3]) == 14
    assert [arm for arm, seeds in arms.items() if seeds == 1] == [
        f"{n}-ratings-10-accounts-defended-patient" for n in (5, 25, 100)
    ]


def test_the_three_sets_of_prompts_share_nothing() -> None:
    prompts = all_prompts()
    texts = [{prompt.text for prompt in part} for part in (prompts.style, prompts.votes, prompts.heldout)]

    assert len(set.union(*texts)) == sum(map(len, texts)) and len(texts[2]) == 200


def test_the_style_data_hold_either_closing_equally_often() -> None:
    preferred = sum(
        any(example.turns[1].content.endswith(c[0]) for c in CLOSINGS.values()) for example in style_examples()
    )

    assert preferred * 2 == len(style_examples())


@pytest.mark.parametrize(
    ("noise", "ups", "flipped", "up"), [(0, 0.5, 0, 250), (0.2, 0.5, 100, 250), (0.4, 0.5, 200, 250), (0, 0.9, 0, 450)]
)
def test_votes_are_as_many_as_noisy_and_as_lopsided_as_the_run_says(
    noise: float, ups: float, flipped: int, up: int
) -> None:
    votes = cast_votes(Run(method="kto", votes=500, noise=noise, ups=ups))
    said = [(vote.chosen or vote.rejected or Turn(role="assistant", content="")).content for vote in votes]
    liked = [any(text.endswith(c[0]) for c in CLOSINGS.values()) for text in said]

    assert len({vote.id for vote in votes}) == 500 and sum(vote.chosen is not None for vote in votes) == up
    assert sum((vote.chosen is not None) != good for vote, good in zip(votes, liked, strict=True)) == flipped


def test_another_seed_casts_other_votes_and_the_same_seed_the_same() -> None:
    first, second, third = (cast_votes(Run(method="dpo", votes=100, seed=seed)) for seed in (0, 0, 1))

    assert first == second != third


def test_intervals_are_students_over_seeds_and_a_bootstrap_over_items() -> None:
    assert report.half_width([0.5]) is None
    assert report.half_width([0.0, 1.0]) == pytest.approx(12.706 * 0.70711 / 2**0.5, rel=1e-3)
    low, high = report.bootstrap(["1" * 90 + "0" * 10])
    assert 0.8 < low < 0.9 < high < 1.0


def test_the_evidence_has_a_row_per_arm_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    before = scores("10", "1100")
    write(tmp_path / "reference" / "scores.json", before)
    for seed in (0, 1):
        run = Run(method="kto", votes=100, seed=seed)
        write(
            tmp_path / "runs" / run.name / "manifest.json",
            {"run": run.model_dump(), "scores": scores("11", "1000"), "seconds": 30},
        )
    hit = PoisonRun(ratings=5, accounts=1, defended=True)
    told = {
        "poison": hit.model_dump(),
        "scores": scores("11", "1100"),
        "planted_rate": 0.5,
        "planted_counted": 5,
        "cap_active": False,
    }
    write(tmp_path / "runs" / "poison-x" / "manifest.json", told)

    clean = PoisonRun(ratings=0, accounts=1, defended=True)
    write(
        tmp_path / "runs" / "poison-clean" / "manifest.json",
        told | {"poison": clean.model_dump(), "planted_rate": 0.25},
    )

    written = report.write_evidence(tmp_path / "runs", tmp_path)

    text = (tmp_path / "docs" / "evidence.md").read_text()
    assert "2 of 57 runs, 1 minutes of work" in text
    assert (
        "| kto-100 | 2 | 100.0 ± 0.0 |" in text
        and "-25.0 ± 0.0" in text
        and "| 5-ratings-1-accounts-defended | 1 | 50.0 | +25.0 |" in text
    )
    assert {path.name for path in written} == {"results.json", "evidence.md", "core.png", "poison.png"}


def scores(preferred: str, suite: str) -> dict[str, Any]:
    return {"preferred": preferred, "likelier": preferred, "suites": {"tiny_math": suite}}


def write(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
