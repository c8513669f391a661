"""The gate as a stage: the verdict on what was measured, by the recipe's rules alone; pipelines/gate/decide.py decides."""

from pathlib import Path

from pipelines.context import StageContext
from pipelines.gate.decide import Verdict, decide
from pipelines.recipe import GateRule, Stops
from pipelines.records import Record
from pipelines.stages import evaluate
from pipelines.stages.contract import Finished
from pipelines.stages.export.form import Exported

Output = Verdict


class Input(Record):
    """`stops` are the recipe's stop rules if a preference stage trained; None: there was no such stage."""

    measured: Finished[evaluate.Output]
    exported: Finished[Exported]
    gates: tuple[GateRule, ...]
    stops: Stops | None


def run(input: Input, out: Path, context: StageContext) -> Output:
    """The verdict, every check in words. Raises SuiteError and RecipeError as `decide` does."""
    scores = evaluate.read_scores(input.measured.folder, input.measured.output)
    return decide(scores, input.gates, input.stops, input.exported.output.change)
