"""The gate as a stage: the verdict on what was measured, by the recipe's rules alone; pipelines/gate/decide.py decides."""

from pathlib import Path

from pipelines.context import StageContext
from pipelines.gate.decide import Verdict, decide
from pipelines.recipe import GateRule, Stops
from pipelines.records import Record
from pipelines.stages import evaluate
from pipelines.stages.contract import Finished
from pipelines.stages.export import export

Output = Verdict


class Input(Record):
    """`stops` are the recipe's stop rules if a preference stage trained; None: there was no such stage."""

    measured: Finished[evaluate.Output]
    exported: Finished[export.Output]
    gates: tuple[GateRule, ...]
    stops: Stops | None


def run(input: Input, out: Path, context: StageContext) -> Output:
    """The verdict, every check in words. Raises SuiteError and RecipeError as `decide` does."""
    return decide(evaluate.scores_of(input.measured), input.gates, input.stops, input.exported.output.change)
