"""The origin as the candidate will be held against it; one that misses a floor, or that a guard could not judge by, stops here."""

from pathlib import Path

from pipelines.backends.fetch import BaseFolder
from pipelines.context import Baseline, StageContext
from pipelines.gate.decide import check_floors
from pipelines.gate.language_guard import check_language
from pipelines.recipe import GateRule, Quantization
from pipelines.recipe.chat import Thinking
from pipelines.records import Record
from pipelines.stages.baseline import prepare_origin
from pipelines.stages.contract import Keyed
from pipelines.stages.evaluate import measure_models
from pipelines.stages.questions import Questions, gate_questions

Output = Baseline


class Input(Record):
    """`floors` are the gates whose limits the origin decides; `questions` to measure them with, None where there are none."""

    base: Keyed[BaseFolder]
    quantize: Quantization
    thinking: Thinking | None = None
    floors: tuple[GateRule, ...]
    questions: Questions | None


def run(input: Input, out: Path, context: StageContext) -> Output:
    """The origin's served form in the folder of models, exported now if it was not before.

    Raises:
        RecipeError: it measures below a floor, or its own answers leave the language guard nothing to watch.
        ModelError, GGUFError, ArtifactError: the base cannot be exported, or what was exported has been changed.
    """
    origin = prepare_origin(input.base.value, input.quantize, context.models, input.thinking)
    if input.questions is not None:
        suites = tuple(dict.fromkeys(rule.suite for rule in input.floors))
        questions = gate_questions(input.questions, context.corpus).model_copy(update={"suites": suites})
        folders = input.questions.suites.value.folders
        scores = measure_models(
            {"origin": origin.form}, questions, out, suites=folders, cache=context.scores, stage="origin"
        )
        check_floors(scores["origin"], input.floors)
        if language := scores["origin"].language:
            check_language(language)
    return origin
