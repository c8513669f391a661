"""The thinking switch of a recipe is fixed in the file that is served, word for word as in training."""

import shutil
from pathlib import Path

import gguf
import pytest

from pipelines.errors import ModelError
from pipelines.gguf.convert import convert
from pipelines.recipe import ChatRules, Export
from pipelines.stages.export.child import _with_switch
from pipelines.stages.export.form import ExportRequest
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.conftest import TEMPLATE

THINKS = TEMPLATE.replace(
    "assistant\\n' }}{%- endif %}",
    "assistant\\n' }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{%- endif %}",
)
ASKED = [{"role": "user", "content": "Hi?"}]


def test_the_switch_stands_in_the_served_file_as_in_training(tiny_base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    (base / "chat_template.jinja").write_text(THINKS)
    (tmp_path / "out").mkdir()
    view = _with_switch(ExportRequest(base=base, adapter=None, out=tmp_path / "out", settings=Export(), thinking="off"))
    made = convert(view, tmp_path / "model.gguf")

    off, default = ChatTokenizer(base, ChatRules(thinking="off")), ChatTokenizer(base)
    served = gguf.GGUFReader(made.path).fields["tokenizer.chat_template"].contents()
    assert served == off.template and served != default.template
    assert off.prompt(ASKED) == default.prompt(ASKED) + "<think></think>"


def test_a_switch_that_the_template_does_not_have_is_refused(tiny_base: Path) -> None:
    with pytest.raises(
        ModelError, match="no switch for `thinking: low`: it reads no reasoning_effort; leave `chat.think"
    ):
        ChatTokenizer(tiny_base, ChatRules(thinking="low"))
