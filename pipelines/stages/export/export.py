"""The export stage: the exact bytes that would be served; dev items choose the adapter's scale."""

import shutil
from pathlib import Path

from pipelines.artifacts import read_records
from pipelines.context import Baseline, StageContext
from pipelines.messages import as_prompt
from pipelines.mixture.anchors import Pools
from pipelines.mixture.text import MixedText
from pipelines.recipe import ChatRules, Export, Train
from pipelines.records import Example, Record
from pipelines.stages import mix, prefer, train
from pipelines.stages.contract import Finished, Keyed
from pipelines.stages.evaluate import measure_models
from pipelines.stages.export.form import Exported, ExportRequest, export_candidate
from pipelines.stages.export.scale import SWEEP_ITEMS, ScaleChoice, choose_scale, dial
from pipelines.stages.lineage import TrainingBase
from pipelines.stages.questions import Questions, dev_questions
from pipelines.tokenizer import ChatTokenizer

Output = Exported
MAX_AGREEMENT_PROMPTS = 32  # four positions of each: with 300, comparing a 135 M model took longer than its training


class Input(Record):
    """What is exported and how.

    Attributes:
        chat: says whether the served model thinks.
        training: says which modules the adapter must have.
        preferred: whose adapter is taken where the preference stage trained, else that of `trained`.
        mixture, pools: whose prompts tell how well the export agrees with what was trained.
        questions: whose dev items choose among several scales, against the origin.
    """

    export: Export
    chat: ChatRules = ChatRules()
    training: Train
    base: TrainingBase
    trained: Finished[train.Output]
    preferred: Finished[prefer.Output]
    mixture: Finished[mix.Output]
    pools: Keyed[Pools]
    questions: Questions
    origin: Keyed[Baseline]


def run(input: Input, out: Path, context: StageContext) -> Output:
    """The candidate's served form in `out`. Raises as `export_candidate` does."""
    weights, whole = prefer.weights_of(input.trained, input.preferred), input.trained.output.kind == "full"
    text = mix.text_of(input.mixture, input.pools, context)
    request = ExportRequest(
        base=weights if whole else input.base.folder(context),
        adapter=None if whole else weights,
        out=out,
        settings=input.export,
        thinking=input.chat.thinking,
        trained_on=input.trained.output.trained_on,
        target=input.training.lora.target,
        origin=Path(input.origin.value.form.path),
        prompts=tuple(agreement_prompts(text, ChatTokenizer(input.base.base.value, input.chat))),
        progress=out,
    )
    return export_candidate(request, lambda adapter: _scale_on_dev(input, adapter, out, context))


def agreement_prompts(text: MixedText, tokenizer: ChatTokenizer) -> list[str]:
    """Rendered prompts on which an export is compared with what was trained: dev examples, then training ones."""
    rendered: dict[str, None] = {}
    for path in (text.dev, text.train):
        for example in read_records(path, Example):
            if len(rendered) >= MAX_AGREEMENT_PROMPTS:
                return list(rendered)
            last = max(place for place, turn in enumerate(example.turns) if turn.role == "assistant")
            rendered[tokenizer.prompt(as_prompt(example.turns[:last]))] = None
    return list(rendered)


def _scale_on_dev(input: Input, adapter: Path, out: Path, context: StageContext) -> ScaleChoice:
    """The scale to export at, by dev items and answers of the dev part alone. What was made for it is deleted."""
    folder, scales, origin = out / "scales", input.export.scales, input.origin.value.form
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    forms = dial(input.base.folder(context), adapter, origin, scales, folder)
    questions = dev_questions(input.questions, context.corpus, at_least=SWEEP_ITEMS)
    named = {f"scale {scale:g}": form for scale, form in zip(scales, forms, strict=True)}
    suites = input.questions.suites.value.folders
    models = {"origin": origin} | named
    scores = measure_models(models, questions, out, suites=suites, cache=context.scores, stage="export")
    shutil.rmtree(folder)
    return choose_scale(scores["origin"], [scores[name] for name in named], scales)
