"""The scale of an adapter: a dial on one file, and a choice that harmless noise does not turn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.artifacts import sha256_of
from pipelines.gguf.session import Session
from pipelines.recipe import Export
from pipelines.records import ServedForm
from pipelines.stages.export.form import ExportRequest, run_export
from pipelines.stages.export.scale import choose_scale, dial
from pipelines.suites.scores import ItemScore, ModelScores, SuiteScores
from tests.pipelines.backends.preferring import write_adapter

ITEMS = 500


def scored(right: Sequence[float], learned: Sequence[float]) -> ModelScores:
    def entry(suite: str, metric: str, values: Sequence[float]) -> SuiteScores:
        items = tuple(ItemScore(id=str(place), value=float(value)) for place, value in enumerate(values))
        return SuiteScores(suite=suite, metric=metric, items=items)  # type: ignore[arg-type]

    return ModelScores(form="f", suites=(entry("math", "acc", right), entry("heldout", "perplexity", learned)))


def model(share: float, learned: float, seed: int, spread: float = 0.0) -> ModelScores:
    """So many of the items right, the same ones first, and held-out answers around a mean."""
    noise = np.random.default_rng(seed).normal(size=ITEMS) * spread
    return scored([float(place < share * ITEMS) for place in range(ITEMS)], learned + noise)


def test_the_scale_that_teaches_most_without_harm_is_taken() -> None:
    candidates = [model(0.80, -2.0, 1), model(0.80, -1.0, 2), model(0.70, -0.1, 3)]
    choice = choose_scale(model(0.80, -3.0, 0), candidates, (0.5, 0.7, 1.0))
    assert choice.scale == 0.7
    assert choice.why.endswith("; not 0.5, 1")


def test_where_every_scale_harms_the_least_harmful_is_taken_and_it_says_so() -> None:
    choice = choose_scale(model(0.80, -3.0, 0), [model(0.60, -1.0, 1), model(0.50, -0.5, 2)], (0.5, 1.0))
    assert choice.scale == 0.5
    assert "every scale harms a suite, this one least (math: 20.0 points)" in choice.why


def with_texts(scores: ModelScores, likelihood: float) -> ModelScores:
    items = tuple(ItemScore(id=str(place), value=likelihood) for place in range(ITEMS))
    texts = SuiteScores(suite="manuals", metric="perplexity", items=items)
    return scores.model_copy(update={"suites": (*scores.suites, texts)})


def test_a_suite_of_texts_that_lost_is_told_by_its_perplexity() -> None:
    choice = choose_scale(with_texts(model(0.80, -3.0, 0), -2.0), [with_texts(model(0.80, -1.0, 1), -2.1)], (1.0,))
    assert "this one least (manuals: perplexity 10.5 % higher)" in choice.why


def test_what_a_suite_of_texts_gains_is_not_what_people_taught() -> None:
    small = with_texts(model(0.80, -1.0, 1), -2.0)  # held-out answers likelier, texts as they were
    large = with_texts(model(0.80, -1.5, 2), -0.5)
    assert choose_scale(with_texts(model(0.80, -3.0, 0), -2.0), [large, small], (0.5, 1.0)).scale == 1.0


def test_a_loss_of_half_a_point_is_no_harm() -> None:
    assert choose_scale(model(0.80, -3.0, 0), [model(0.795, -1.0, 1), model(0.80, -1.5, 2)], (1.0, 0.5)).scale == 1.0


def test_among_equals_the_smallest_is_taken_most_of_the_time_and_whatever_their_order() -> None:
    origin, taken = model(0.80, -3.0, 0), {0.5: 0, 0.7: 0, 1.0: 0}
    for seed in range(100):
        candidates = [model(0.80, -1.0, 3 * seed + place, spread=0.3) for place in range(3)]
        choice = choose_scale(origin, candidates, (0.5, 0.7, 1.0))
        assert choose_scale(origin, candidates[::-1], (1.0, 0.7, 0.5)) == choice
        taken[choice.scale] += 1
    assert taken[0.5] >= 65  # the largest of three means stands as far above one of them as chance puts it there
    assert taken[1.0] < taken[0.5] / 3


def test_the_dial_says_what_an_export_at_that_scale_says(tiny_base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tiny_base, tmp_path / "adapter", moved=0.2)
    request = ExportRequest(base=tiny_base, adapter=None, out=tmp_path / "origin", settings=Export(quantize="F16"))
    origin = run_export(request).form_in(request.out)
    at_half = request.model_copy(update={"adapter": adapter, "out": tmp_path / "half", "scale": 0.5})
    merged = run_export(at_half).form_in(at_half.out)
    (tmp_path / "dial").mkdir()
    half, whole = dial(tiny_base, adapter, origin, (0.5, 1.0), tmp_path / "dial")
    assert [path.name for path in (tmp_path / "dial").iterdir()] == ["adapter.gguf"]  # no export for a scale
    assert half.path == whole.path == origin.path and half.adapter_sha256 == sha256_of(Path(half.adapter_path or ""))
    rows = {name: _row(form) for name, form in {"o": origin, "m": merged, "h": half, "w": whole}.items()}
    assert np.abs(rows["h"] - rows["m"]).max() < 0.02 * np.abs(rows["m"] - rows["o"]).max()
    assert np.abs(rows["w"] - rows["m"]).max() > 0.2 * np.abs(rows["m"] - rows["o"]).max()


def _row(form: ServedForm) -> np.ndarray:  # type: ignore[type-arg]
    with Session(form) as session:
        session.grow(8)
        return np.array(session.read([5, 6, 7, 8]), dtype=np.float64)
