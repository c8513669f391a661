"""What the stages of a made-up round left, for the report: every branch of its text has something to say."""

from pathlib import Path
from typing import Any

from pipelines.backends.base import PreferOutput, TrainOutput
from pipelines.feedback.cohort import Cohort
from pipelines.feedback.method import Choice, Method
from pipelines.feedback.select import UserCap
from pipelines.feedback.weigh import vote_cap
from pipelines.gate.decide import Check, Verdict
from pipelines.recipe import Recipe
from pipelines.recipe_file import parse_recipe
from pipelines.records import ServedForm
from pipelines.stages.contract import Finished
from pipelines.stages.evaluate import EvaluateOutput
from pipelines.stages.export.form import Agreement, Exported
from pipelines.stages.mix import MixOutput, ShareLine
from pipelines.stages.prefer import Preferred
from pipelines.stages.report import report
from pipelines.stages.report.scores import score_rows
from pipelines.stages.snapshot import FeedbackSummary, SnapshotOutput
from pipelines.suites.scores import (
    GateInput,
    ItemScore,
    LanguageScores,
    ModelScores,
    PreferenceMeasure,
    PreferenceScore,
    SuiteScores,
)

RECIPE = """
name: small
base: {model: models/tiny}
mixture: {user: 0.6, general: 0.3, coding: 0.1}
train: {learning_rate: 1.0e-3, epochs: 2}
preference: {}
evaluate: {suites: [tiny_math, heldout]}
gates: [{suite: tiny_math, margin: {champion: 3.0, origin: 3.0}}, {suite: heldout, min_gain: 0.0}]
"""
LOSSES = "step,epoch,loss,dev_loss,learning_rate,grad_norm\n1,0.1,2.0,,0.001,1.0\n2,0.2,,1.5,,\n3,0.3,1.25,,0.001,1.0\n"
PREFERENCES = "step,loss,margin,accuracy,chosen\n0,,,,-0.5\n1,0.693,0.0,,\n2,0.55,0.4,,\n2,,,,-0.48\n"


def recipe(**changes: Any) -> Recipe:
    return parse_recipe(RECIPE, "given").model_copy(update=changes)


def feedback(**changes: Any) -> FeedbackSummary:
    made = FeedbackSummary(
        received=620,
        used={"siblings": 360, "lone": 200, "rating": 12},
        held_out={"lone": 2, "siblings": 5},
        dropped={"echo": 8, "tied": 2, "over_user_cap": 31},
        pairs={"siblings": 180},
        good=120,
        bad=80,
        dev=3,
        heldout=4,
        cap=vote_cap({"u": 3}, "auto"),
        cohort=Cohort(raters=("a", "b"), share=0.125),
    )
    return made.model_copy(update=changes)


def snapshot(**changes: Any) -> SnapshotOutput:
    made = SnapshotOutput(
        items="items.jsonl",
        digest="d",
        received=1000,
        rejected={"gibberish": 10, "too_short": 3},
        clean=987,
        examples=905,
        new=800,
        replay=105,
        dev=20,
        heldout=30,
        left_out={"unrated": 32},
        tokens={"new": 40_000, "replay": 10_000},
        people=40,
        cap=UserCap(people=40, share=0.075, tokens=3750.4),
        preferences="preferences.jsonl",
        fates="feedback.jsonl",
        feedback=feedback(),
    )
    return made.model_copy(update=changes)


def mixture(**changes: Any) -> MixOutput:
    user = ShareLine(
        source="user", asked=0.6, reached=0.61, tokens=45, examples=4, distinct=4, most_repeats=1, shortfall_tokens=0
    )
    coding = ShareLine(
        source="coding", asked=0.1, reached=0.05, tokens=5, examples=2, distinct=1, most_repeats=2, shortfall_tokens=5
    )
    made = MixOutput(
        plan="plan.jsonl",
        left_out_list="left_out.jsonl",
        plan_sha256="",
        text_sha256="",
        shares=(user, coding),
        examples={"new": 795, "replay": 105, "coding": 2},
        tokens={"new": 35_000, "replay": 10_000, "coding": 5},
        families={"coding": {"lists": 2}},
        left_out={"over_round_budget": 5},
        dev_examples={"coding": 1},
        dev_tokens=3,
        contaminated_anchors={"coding": 2},
    )
    return made.model_copy(update=changes)


def training(**changes: Any) -> TrainOutput:
    made = TrainOutput(
        kind="adapter",
        trained_on="full",
        weights="adapter",
        loss_history="loss_history.csv",
        metrics="training_metrics.json",
        steps=4,
        planned_steps=8,
        stopped_early=True,
        examples=4,
        dev_examples=1,
        truncated=0,
        left_out={},
        tokens=100_000,
        trained_tokens=45_000,
        tokens_per_second=1480.5,
        seconds=2,
        peak_memory_bytes=2**30,
        first_loss=2,
        last_loss=1.25,
        best_dev_loss=1.5,
        best_step=2,
        precision="float32",
        choices={"threads": "2"},
    )
    return made.model_copy(update=changes)


def preferred(**changes: Any) -> Preferred:
    trained = PreferOutput(
        method="kto",
        weights="adapter",
        history="preference_history.csv",
        metrics="preference_metrics.json",
        steps=20,
        planned_steps=30,
        kept_step=16,
        stopped_by="kl: 0.120 nats",
        pairs=0,
        good=250,
        bad=240,
        left_out={},
        anchors=60,
        tokens=9,
        seconds=1,
        tokens_per_second=9,
        peak_memory_bytes=1,
        first_loss=0.5,
        last_loss=0.3,
        dev_before=0.1,
        dev_after=0.9,
        desirable=1.0,
        undesirable=1.04,
        precision="float32",
        choices={},
    )
    why = "180 pairs are fewer than 1,000, so single answers are learnt from."
    made = Preferred(choice=choice("kto", why), resampled=7, replaced=(), text_sha256="t", trained=trained)
    return made.model_copy(update=changes)


def choice(method: Method, why: str) -> Choice:
    return Choice(method=method, why=why, counts={"pairs": 180}, topic_shift=0.0)


def exported(**changes: Any) -> Exported:
    made = Exported(
        form=ServedForm(kind="merged", path="model.gguf", sha256="s"),
        scale=0.5,
        merged_onto="full",
        size_bytes=12_345_678,
        tensor_types={"Q4_K": 20},
        agreement=Agreement(prompts=300, positions=1200, top1=0.998, kld=0.0000042, served_top1=0.91),
        tried=(0.5, 1.0),
        seconds=1,
    )
    return made.model_copy(update=changes)


def verdict() -> Verdict:
    kept = Check(suite="tiny_math", criterion="margin", outcome="pass", reason="tiny_math kept: pass", n=600)
    few = Check(
        suite="heldout",
        criterion="min_gain",
        baseline="origin",
        outcome="inconclusive",
        reason="heldout: too few: inconclusive",
        n=4,
        needed=30,
    )
    return Verdict(outcome="inconclusive", checks=(kept, few))


def scores() -> GateInput:
    return GateInput(
        origin=_model("origin", 0.70, None),
        champion=_model("champion", 0.71, _liked(4, 0.0)),
        candidate=_model("candidate", 0.73, _liked(38, 0.04)),
    )


def report_input(folder: Path, **changes: Any) -> report.Input:
    """What the report stage is given, with the files it reads under `folder`; `changes` are outputs, by field."""
    made = scores()
    files = {"loss_history.csv": LOSSES, "preference_history.csv": PREFERENCES, "scores.json": made.model_dump_json()}
    for name, text in files.items():
        (folder / name).write_text(text)
    measured = EvaluateOutput(items="i", scores="scores.json", measured=1, rows=score_rows(made), seconds=1)
    outputs = {
        "snapshot": snapshot(),
        "mixture": mixture(),
        "trained": training(),
        "preferred": preferred(),
        "exported": exported(),
        "measured": measured,
        "judged": verdict(),
    }
    values = {"recipe": recipe(), "attempt": 1, "origin": "tiny-origin", "champion": "tiny-r0001-a1"}
    values |= {"seconds": {"snapshot": 0.5, "train": 2.0}, **changes}
    stages = {name: changes.get(name, output) for name, output in outputs.items()}
    finished = {name: Finished[Any](digest=name, output=output, folder=folder) for name, output in stages.items()}
    return report.Input.model_validate(values | finished)


def _model(name: str, math: float, liked: PreferenceMeasure | None) -> ModelScores:
    items = tuple(ItemScore(id=str(n), value=float(n < 600 * math)) for n in range(600))
    held = tuple(ItemScore(id=f"h{n}", value=-2.0 * (1 - math) - n / 100) for n in range(40))
    return ModelScores(
        form=name,
        suites=(
            SuiteScores(suite="tiny_math", metric="exact_match", items=items),
            SuiteScores(
                suite="heldout", metric="rougeL", items=tuple(ItemScore(id=f"h{n}", value=math) for n in range(40))
            ),
            SuiteScores(suite="heldout", metric="perplexity", items=held),
        ),
        language=LanguageScores(answers=200, target=math, third=0.001, gibberish=0, short=0.01),
        preference=liked,
    )


def _liked(wins: int, kl: float) -> PreferenceMeasure:
    pairs = [
        PreferenceScore(
            id=f"p{n}", chosen=-4.0 if n < wins else -6.0, chosen_tokens=10, rejected=-5.0, rejected_tokens=5, length=8
        )
        for n in range(40)
    ]
    good = PreferenceScore(id="good", chosen=-8 + kl, chosen_tokens=10, rejected=None, rejected_tokens=0)
    prompts = tuple(ItemScore(id=str(n), value=0.0) for n in range(50))
    return PreferenceMeasure(items=(*pairs, good), claims=prompts, frozen=prompts, kl=kl, kl_positions=100)
