"""What a sequential round trains on: the champion as it was exported, weight for weight."""

from pathlib import Path

import pytest
import torch

from pipelines.context import Adapter, StageContext
from pipelines.errors import RecipeError
from pipelines.gguf.lora import Lora
from pipelines.gguf.rounding import round_trip
from pipelines.gguf.tensors import Checkpoint
from pipelines.stages.contract import Keyed
from pipelines.stages.lineage import TrainingBase, keyed_adapter
from tests.pipelines.backends.preferring import write_adapter
from tests.stand_in_stage import NO_TEXT


def folded(base: Path, scratch: Path, *adapters: Adapter) -> Checkpoint:
    scratch.mkdir()
    context = StageContext(scratch, scratch, NO_TEXT, scratch, lambda: None)
    keyed = tuple(keyed_adapter(adapter) for adapter in adapters)
    return Checkpoint(TrainingBase(base=Keyed[Path](digest="b", value=base), adapters=keyed).folder(context))


def test_without_adapters_the_origin_itself_is_trained_on(tiny_base: Path, tmp_path: Path) -> None:
    assert folded(tiny_base, tmp_path / "scratch").shards[0].file.parent == tiny_base


@pytest.mark.parametrize("onto", ["full", "nf4"])
def test_adapters_are_folded_into_the_weights_that_their_export_merged_onto(
    tiny_base: Path, tmp_path: Path, onto: str
) -> None:
    adapter = Adapter.model_validate(
        {"folder": str(write_adapter(tiny_base, tmp_path / "one", moved=0.02)), "scale": 0.5, "merged_onto": onto}
    )

    ours, origin = folded(tiny_base, tmp_path / "scratch", adapter), Checkpoint(tiny_base)

    lora = Lora(Path(adapter.folder), 0.5)
    for name, info in origin.tensors.items():
        weight = origin.read(name)
        if onto == "nf4" and len(info.shape) == 2 and name.startswith("model.layers."):
            weight = round_trip(weight, "nf4")
        if name in lora.names:
            weight = (weight.float() + lora.delta(name, 0, info.shape[0])).to(weight.dtype)
        assert torch.equal(ours.read(name), weight), name


def test_each_adapter_of_a_lineage_goes_onto_what_the_ones_before_it_left(tiny_base: Path, tmp_path: Path) -> None:
    first, second = (
        Adapter(folder=str(write_adapter(tiny_base, tmp_path / name, moved=moved)), merged_onto="nf4")
        for name, moved in (("one", 0.02), ("two", 0.05))
    )

    at_once = folded(tiny_base, tmp_path / "at-once", first, second)
    halfway = folded(tiny_base, tmp_path / "first", first).shards[0].file.parent
    stepwise = folded(halfway, tmp_path / "second", second)

    assert all(torch.equal(at_once.read(name), stepwise.read(name)) for name in at_once.tensors)
    assert [path.name for path in (tmp_path / "at-once").iterdir()] == ["base"]


def test_how_an_adapter_was_merged_is_part_of_the_key(tiny_base: Path, tmp_path: Path) -> None:
    folder = str(write_adapter(tiny_base, tmp_path / "one", moved=0.02))
    digests = [keyed_adapter(Adapter(folder=folder, merged_onto=onto)).digest for onto in ("full", "nf4")]

    assert digests[0] != digests[1]


def test_a_champion_without_an_adapter_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """`method: full` leaves a whole model, which nothing can fold into a base."""
    (tmp_path / "model.safetensors").write_bytes(b"whole")
    with pytest.raises(RecipeError, match="no adapter.*`lineage: from_origin`"):
        keyed_adapter(Adapter(folder=str(tmp_path)))
