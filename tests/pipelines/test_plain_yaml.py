"""YAML from strangers: plain data, or a sentence, in bounded time and memory."""

import resource
import subprocess
import sys
from itertools import pairwise

import pytest

from pipelines.errors import DataError
from pipelines.plain_yaml import MAX_ALIASES, MAX_CHARACTERS, MAX_DEPTH, MAX_NODES, parse_plain_yaml
from tests.effort import within

MERGE_BOMB = "a: &a {x: 1}\n" + "\n".join(
    f"{name}: &{name}\n  <<: [{', '.join([f'*{before}'] * 9)}]\n  {name}: 1" for before, name in pairwise("abcdefghi")
)
ALIAS_BOMB = "a: &a [x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MERGE_BOMB, "the alias `*a` inside of what another alias may stand for"),
        (ALIAS_BOMB, "the alias `*a` inside of what another alias may stand for"),
        ("a: &a [*a]", "the alias `*a` inside of what another alias may stand for"),
        ("a: &a [1]\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]", "more than 50 aliases"),
        ("[" * (MAX_DEPTH + 1), "nested too deeply, more than 32 levels"),
        ("{a: " * 50_000, "nested too deeply"),
        ("- " * 50_000, "nested too deeply"),
        ("a: [" + "1," * MAX_NODES + "]", "more than 20,000 values"),
        ("a" * (MAX_CHARACTERS + 1), "longer than the 200,000 characters"),
        ("a: !!float zz", "the tag `tag:yaml.org,2002:float`: plain data has none"),
        ("a: !!int 5", "plain data has none"),
        ("a: !!timestamp now", "plain data has none"),
        ("a: !!binary x", "plain data has none"),
        ("a: !!set {x}", "plain data has none"),
        ("a: !!python/object/apply:os.system [id]", "plain data has none"),
        ("a: !!str [x]", "plain data has none"),
        ("a: 0x_", "`0x_`, which is no number"),
        ("a: 0b_", "`0b_`, which is no number"),
        ("a: " + "9" * 5_000, "a number of 5000 characters"),
        ("a: 0x" + "f" * 50_000, "a number of 50002 characters"),
        ("a: 1" + ":59" * 20_000, "a number of 60001 characters"),
        ("a: 1\na: 2", "the key `a` stands twice"),
        (f"{'k' * 1_000}: 1\n{'k' * 1_000}: 2", "not valid YAML"),
        ('a: "x\\0y"', "the character NUL"),
        ('a: "\\ud800"', "not valid YAML"),
        ("? [a]\n: 1", "unhashable key"),
        ("--- a\n--- b", "not valid YAML"),
        ("a: *nobody", "not valid YAML"),
        ("%YAML 9.9\n--- a", "not valid YAML"),
    ],
)
def test_what_is_no_plain_data_is_refused_in_a_short_sentence_at_once(text: str, sentence: str) -> None:
    def refused() -> str:
        with pytest.raises(DataError, match="^the text ") as refusal:
            parse_plain_yaml(text, "the text")
        return str(refusal.value)

    told = within(2, refused)
    assert sentence in told and len(told) < 400


def test_a_bomb_takes_no_memory() -> None:
    code = "import sys; from pipelines.plain_yaml import parse_plain_yaml; parse_plain_yaml(sys.stdin.read(), 'x')"
    limit = 300 << 20
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=MERGE_BOMB,
        text=True,
        capture_output=True,
        timeout=20,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert "DataError: x is not valid YAML: the alias" in done.stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-99-99", {"a": "2026-99-99"}),
        ("a: 2026-01-02T03:04:05Z", {"a": "2026-01-02T03:04:05Z"}),
        ("a: =", {"a": "="}),
        ("a: !!str 5", {"a": "5"}),
        ("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}", {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}),
        ("a: [1, 1.5, yes, null, text, 0x1F]", {"a": [1, 1.5, True, None, "text", 31]}),
        ("", None),
    ],
)
def test_plain_data_is_read_as_it_stands(text: str, value: object) -> None:
    assert parse_plain_yaml(text, "the text") == value
