"""Training on the mixture: an adapter (or a whole model) on top of the training base, in a child process.

train/
├── adapter/                  what the export takes
├── loss_history.csv          one line per step and one per look at dev
└── training_metrics.json     what the backend chose and why
"""

from pathlib import Path

from pipelines.backends.base import TrainOutput, TrainRequest
from pipelines.backends.launch import train
from pipelines.context import StageContext
from pipelines.mixture.anchors import Pools
from pipelines.recipe import ChatRules, Train
from pipelines.records import Record
from pipelines.stages import mix
from pipelines.stages.contract import Finished, Keyed
from pipelines.stages.lineage import TrainingBase

Output = TrainOutput


class Input(Record):
    """`base_name` is what the adapter will say it was trained on."""

    mixture: Finished[mix.Output]
    pools: Keyed[Pools]
    base: TrainingBase
    base_name: str
    chat: ChatRules = ChatRules()
    train: Train


def run(input: Input, out: Path, context: StageContext) -> Output:
    """Train; a folder that a killed run left goes on from its newest checkpoint. Raises as backends.launch.train does."""
    text = mix.text_of(input.mixture, input.pools, context)
    request = TrainRequest(
        base=input.base.folder(context),
        base_name=input.base_name,
        chat=input.chat,
        train=input.train,
        train_file=text.train,
        dev_file=text.dev if input.mixture.output.dev_tokens else None,
    )
    return train(request, out, context.still_ours)
