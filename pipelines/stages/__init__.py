"""The stages of a round. A stage is a module with two frozen records and one function:

    class Input(Record)                       everything that decides what the stage makes
    class Output(Record)                      what it found out; it is kept in the stage's manifest.json
    def run(input: Input, out: Path, context: StageContext) -> Output

The digest of the Input is the key under which a finished stage is found again, so whatever a stage reads is a field of
it: sections of the recipe as they are, earlier stages as `Finished`, and what is too large to be a value (a base model, the
pools after the contamination check, a served form) as `Keyed`, of which the digest alone is part of the key. `context`
says where a stage works (folders, the corpus, whether the claim still holds) and decides nothing. The module's last name is
the stage's: pipelines/stages/train.py is kept in var/rounds/0007/attempt-1/train/. Stages are called in pipelines/round.py.

This file imports nothing, so that the app side may read `STAGES` without torch.
"""

from typing import NamedTuple


class StageInfo(NamedTuple):
    """A stage as people see it; `holds_weights` says that its folder must not outlive a cancelled round."""

    name: str
    title: str
    holds_weights: bool = False


STAGES: tuple[StageInfo, ...] = (
    StageInfo("snapshot", "who is asked, and why not"),
    StageInfo("origin", "what the candidate is held against"),
    StageInfo("mix", "what is trained on"),
    StageInfo("train", "learning from answers", holds_weights=True),
    StageInfo("prefer", "learning from thumbs", holds_weights=True),
    StageInfo("export", "the bytes that would be served", holds_weights=True),
    StageInfo("evaluate", "three models, the same items"),
    StageInfo("gate", "the verdict, with every reason"),
    StageInfo("report", "the story of it"),
)
