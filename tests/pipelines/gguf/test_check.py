"""Nothing that is missing, changed, damaged or made for another base gets as far as serving."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from tokenizers import Tokenizer

from pipelines.errors import GGUFError
from pipelines.gguf.adapter import convert_adapter
from pipelines.gguf.check import check_adapter, smoke_test, verify
from pipelines.gguf.convert import convert
from pipelines.gguf.session import Session
from tests.pipelines.gguf.conftest import adapter_form, merged_form, write_adapter, write_model


def test_a_good_form_talks(q4_gguf: Path) -> None:
    smoke_test(merged_form(q4_gguf))


def test_a_good_adapter_form_talks_and_equals_the_merged_model(
    base_gguf: Path, tuned_gguf: Path, adapter_gguf: Path
) -> None:
    form = adapter_form(base_gguf, adapter_gguf)
    smoke_test(form)
    tokens = list(range(40))
    with Session(form) as apart, Session(merged_form(tuned_gguf)) as merged, Session(merged_form(base_gguf)) as base:
        np.testing.assert_allclose(apart.feed(tokens), merged.feed(tokens), atol=0.05)
        assert np.abs(apart.feed(tokens) - base.feed(tokens)).max() > 0.1


def test_an_adapter_at_scale_zero_is_the_base(base_gguf: Path, adapter_gguf: Path) -> None:
    with Session(adapter_form(base_gguf, adapter_gguf, 0.0)) as off, Session(merged_form(base_gguf)) as base:
        np.testing.assert_array_equal(off.feed([1, 2, 3]), base.feed([1, 2, 3]))


def test_a_missing_or_changed_file_is_told_apart(q4_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="is missing"):
        verify(tmp_path / "none.gguf", "0" * 64)
    with pytest.raises(GGUFError, match="has changed: its sha256"):
        verify(q4_gguf, "0" * 64)


Damage = Callable[[Path], object]


def cut_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(50_000))


def overwrite(name: str, value: float) -> Damage:
    def damage(path: Path) -> None:
        tensor = next(t for t in gguf.GGUFReader(path).tensors if t.name == name)
        with path.open("r+b") as file:
            file.seek(tensor.data_offset)
            file.write(np.full(tensor.n_elements, value, np.float32).tobytes())

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(cut_half, "cannot load", id="truncated"),
        pytest.param(noise, "cannot load", id="noise"),
        pytest.param(lambda path: path.write_bytes(b""), "cannot load", id="empty"),
        pytest.param(overwrite("output_norm.weight", float("nan")), "not finite", id="nan"),
        pytest.param(overwrite("output_norm.weight", 0.0), "all equal", id="zeros"),
    ],
)
def test_a_damaged_gguf_fails_its_smoke_test_with_a_sentence(
    base_gguf: Path, tmp_path: Path, damage: Damage, words: str
) -> None:
    changed = Path(shutil.copy(base_gguf, tmp_path / "changed.gguf"))
    damage(changed)
    with pytest.raises(GGUFError, match=words):
        smoke_test(merged_form(changed))


@pytest.mark.parametrize(
    ("end", "words"), [("<|im_start|>", "never stop"), ("a", "ordinary word"), ("<|im_end|>", None)]
)
def test_a_wrong_end_token_is_noticed(model: Path, tmp_path: Path, end: str, words: str | None) -> None:
    changed = Path(shutil.copytree(model, tmp_path / "changed"))
    settings = json.loads((changed / "tokenizer_config.json").read_text())
    (changed / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": end}))
    template = changed / "chat_template.jinja"
    template.write_text(
        template.read_text().replace("<|im_end|>", "<|endofturn|>" if end == "<|im_start|>" else "<|im_end|>")
    )
    path = convert(changed, tmp_path / "model.gguf").path
    if words is None:
        smoke_test(merged_form(path))
    else:
        with pytest.raises(GGUFError, match=words):
            smoke_test(merged_form(path))


def test_end_tokens_of_the_fixture_are_where_the_template_puts_them(model: Path) -> None:
    ids = Tokenizer.from_file(str(model / "tokenizer.json")).get_vocab()
    assert json.loads((model / "config.json").read_text())["eos_token_id"] == ids["<|im_end|>"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut_half, id="truncated"),
        pytest.param(noise, id="noise"),
        pytest.param(lambda path: path.unlink(), id="missing"),
    ],
)
def test_a_damaged_adapter_raises_where_llama_cpp_would_crash(
    base_gguf: Path, adapter_gguf: Path, tmp_path: Path, damage: Damage
) -> None:
    changed = Path(shutil.copy(adapter_gguf, tmp_path / "adapter.gguf"))
    damage(changed)
    with pytest.raises(GGUFError, match=r"adapter\.gguf"):
        check_adapter(base_gguf, changed)


def test_an_adapter_for_another_shape_is_refused(base_gguf: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", intermediate_size=512)
    converted = convert_adapter(other, write_adapter(tmp_path / "lora", other), tmp_path / "adapter.gguf")
    with pytest.raises(GGUFError, match="cannot be used with base.gguf"):
        check_adapter(base_gguf, converted.path)
