"""What a benchmark is, as a record: where it is published, how a row is asked, which part gates and which one shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.recipe import Metric
from pipelines.suites.benchmarks.files import Row
from pipelines.suites.load import Scorer

Fields = dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark.

    Attributes:
        hub, licence: the data set's id on the Hugging Face hub, and what its authors publish it under.
        columns: of a row, without which the file is another benchmark's.
        fields: an item's fields from a row (prompt, answer, stratum; cluster, choices and more by scorer); None where a
            row is no item, as one without its answer.
        shows: how a row looks among the examples that are shown first, question and answer.
        gate, dev, shown: the parts that items and examples come from, the first that is there; without one for `dev` a
            tenth of the gate's is taken.
        shots: how many examples of its stratum a question has before it.
        introduces: what stands before the examples, by stratum.
        task: keys of the suite's YAML besides the usual ones.
        headless: the columns of CSV files without a line of names.
        adjust: a row with its part put right, where its file does not say it.
        takes: which files of the hub's data set are its items, as patterns: others repeat them or are something else.
    """

    name: str
    hub: str
    licence: str
    scorer: Scorer
    metric: Metric
    columns: tuple[str, ...]
    fields: Callable[[Row], Fields | None]
    shows: Callable[[Row, Fields], str] = lambda row, fields: f"{fields['prompt']} {fields['answer']}\n\n"
    gate: Sequence[str] = ("test", "validation", "")
    dev: Sequence[str] = ("validation",)
    shown: Sequence[str] = ("dev", "train")
    shots: int = 0
    introduces: Callable[[str], str] = lambda stratum: ""
    task: Mapping[str, Any] = field(default_factory=dict)
    headless: tuple[str, ...] = ()
    adjust: Callable[[Row], Row] = lambda row: row
    takes: tuple[str, ...] = ("*.parquet", "*.jsonl", "*.csv", "*.tsv")
