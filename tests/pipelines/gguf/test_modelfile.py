"""The Modelfile, byte by byte; its Go template, read by a reader of Go templates, renders what the Jinja template renders."""

import re
from pathlib import Path
from typing import Any

import gguf as ggufs
import numpy as np
import pytest

from pipelines.chat import render
from pipelines.errors import GGUFError, ModelError
from pipelines.gguf.go_template import derive_pieces
from pipelines.gguf.modelfile import Modelfile, write_modelfile, write_scaled_adapter
from tests.service.served import gguf

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENED = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are {{ '{{kind}}' }}.<|im_end|>\n{% endif %}" + CHATML
)
HEADERS = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}<|start|>{{ message.role }}<|end|>\n\n"
    "{{ message.content | trim }}<|eot|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}"
)
FOLDED = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set first = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ first if loop.first else '' }}{{ m.content | trim }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
CHATS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", "Two\nlines")],
    [("user", "a {{ b }}"), ("assistant", "한국어"), ("user", "`c`")],
    [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")],
]


class Go:
    """As much of Go's text/template as is needed: range, if, else if, else, end, eq, ne, and, index, fields, strings."""

    def __init__(self, template: str) -> None:
        self._tokens = re.split(r"(\{\{.*?\}\})", template)

    def render(self, messages: list[dict[str, str]]) -> str:
        text, rest = self._block(list(self._tokens), messages, 0, True)
        assert not rest
        return text

    def _block(
        self, tokens: list[str], messages: list[dict[str, str]], place: int, live: bool
    ) -> tuple[str, list[str]]:
        said = ""
        while tokens:
            token = tokens.pop(0)
            if not token.startswith("{{"):
                said += token if live else ""
                continue
            action = token[2:-2].strip()
            if action in ("end", "else") or action.startswith("else if"):
                return said, [token, *tokens]
            if action.startswith("range"):
                assert action == "range $i, $m := .Messages"
                body = list(tokens)
                for at in range(len(messages)):
                    once, tokens = self._block(list(body), messages, at, live)
                    said += once
                assert tokens.pop(0) == "{{ end }}"
            elif action.startswith("if "):
                once, tokens = self._choice(action, tokens, messages, place, live)
                said += once
            elif live:
                said += str(self._value(action, messages, place))
        return said, tokens

    def _choice(
        self, action: str, tokens: list[str], messages: list[dict[str, str]], place: int, live: bool
    ) -> tuple[str, list[str]]:
        said, open_ = "", live
        while True:
            condition = action.removeprefix("else").strip().removeprefix("if").strip()
            holds = open_ and (not condition or bool(self._value(condition, messages, place)))
            once, tokens = self._block(tokens, messages, place, holds)
            said, open_ = said + once, open_ and not holds
            action = tokens.pop(0)[2:-2].strip()
            if action == "end":
                return said, tokens

    def _value(self, text: str, messages: list[dict[str, str]], place: int) -> Any:
        parts = re.findall(r'\((?:[^()]|\([^()]*\))*\)(?:\.\w+)?|"[^"]*"|\S+', text)
        if parts[0] in ("eq", "ne", "and"):
            left, right = (self._value(one, messages, place) for one in parts[1:])
            return {"eq": left == right, "ne": left != right, "and": left and right}[parts[0]]
        if parts[0].startswith("(index"):
            return messages[0]["Role"]
        if parts[0].startswith("("):
            return self._value(parts[0][1:-1], messages, place)
        if parts[0].startswith('"'):
            return parts[0][1:-1]
        names = {
            "$i": place,
            ".Messages": messages,
            ".Role": messages[place]["Role"],
            ".Content": messages[place]["Content"],
        }
        return names[parts[0]] if parts[0] in names else int(parts[0])


@pytest.mark.parametrize("chat", CHATS, ids=["one", "system", "three", "six"])
@pytest.mark.parametrize("template", [CHATML, OPENED, HEADERS, FOLDED], ids=["chatml", "opened", "headers", "folded"])
def test_the_go_template_renders_what_the_jinja_template_renders(template: str, chat: list[tuple[str, str]]) -> None:
    turns = [{"role": role, "content": text} for role, text in chat]
    wanted = render(template, turns, escape=str, generate=True, bos_token="<bos>").removeprefix("<bos>")
    go = Go(derive_pieces(template, "<bos>").go())
    assert go.render([{"Role": role, "Content": text} for role, text in chat]) == wanted


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}", "first turn differently"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content | upper }}\n{% endfor %}", "more than its role"),
        ("{{ messages[-1].content }}", "every message once"),
        ("{{ raise_exception('no') }}", "cannot be written in Ollama's language"),
    ],
    ids=["counted", "changed", "last", "raises"],
)
def test_a_template_that_cannot_be_put_into_pieces_is_refused(template: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        derive_pieces(template)


def test_the_modelfile_of_a_file_byte_by_byte() -> None:
    made = write_modelfile(gguf(), {"num_ctx": 4096, "temperature": 0.7}, system='Say "yes".', has_adapter=True)
    assert made.text() == (
        "FROM ./model.gguf\n"
        "ADAPTER ./adapter.gguf\n"
        'TEMPLATE """{{ range $i, $m := .Messages }}{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n'
        '{{ end }}{{ end }}<|im_start|>assistant\n"""\n'
        "PARAMETER num_ctx 4096\n"
        "PARAMETER temperature 0.7\n"
        'PARAMETER stop "<|im_end|>"\n'
        'SYSTEM """Say "yes"."""\n'
    )
    request = made.request("eden", "ab", "cd")
    assert request["files"] == {"model.gguf": "sha256:ab"} and request["adapters"] == {"adapter.gguf": "sha256:cd"}
    assert request["parameters"] == {"num_ctx": 4096, "temperature": 0.7, "stop": ["<|im_end|>"]}


def test_text_that_a_modelfile_cannot_hold_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot hold text"):
        Modelfile('a """ b', (), {}).text()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(GGUFError, match="x.gguf is not a readable GGUF"):
        write_modelfile(tmp_path / "x.gguf", {})


def test_the_scale_is_written_into_the_copy_of_an_adapter_and_nothing_else_changes(tmp_path: Path) -> None:
    path, out = tmp_path / "a.gguf", tmp_path / "b.gguf"
    writer = ggufs.GGUFWriter(path, "qwen2")
    writer.add_float32(ggufs.Keys.Adapter.LORA_ALPHA, 32.0)
    writer.add_tensor("blk.0.attn_q.weight.lora_a", np.arange(8, dtype=np.float32).reshape(2, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_scaled_adapter(path, 0.75, out)
    before, after = path.read_bytes(), out.read_bytes()
    assert ggufs.GGUFReader(out).fields[ggufs.Keys.Adapter.LORA_ALPHA].contents() == 24.0
    assert 0 < sum(a != b for a, b in zip(before, after, strict=True)) <= 4
