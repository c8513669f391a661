"""Plain data from YAML, in bounded time and memory whoever wrote it: mappings, lists, texts, numbers, yes and no.

    mixture: &shares {user: 0.7, general: 0.3}      an alias may stand for plain data once it is written
    other: *shares                                   but none inside of what another alias stands for (an alias bomb)
    since: 2026-99-99                                a text, as every date is
    weights: !!python/object/apply:os.system [id]    refused, as every tag is but !!str

libyaml reads the events first; nothing is built before they were counted.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import DataError
from pipelines.text import shorten

MAX_CHARACTERS = 200_000
MAX_NODES = 20_000
MAX_DEPTH = 32
MAX_ALIASES = 50
_MAX_DIGITS = 40
_NO_DATA = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")


def read_plain_yaml(path: Path, subject: str) -> str:
    """The text of a YAML file, for `parse_plain_yaml`; never much more of it than may be parsed.

    Raises:
        DataError: it cannot be read, or is not UTF-8 text. `subject` is what the sentence calls the file.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(4 * MAX_CHARACTERS + 1)  # a character of UTF-8 has four bytes at most
        return raw[:-1].decode(errors="ignore") if len(raw) > 4 * MAX_CHARACTERS else raw.decode()
    except OSError as error:
        raise DataError(f"cannot read {subject}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{subject} is not UTF-8 text: {error.reason} at byte {error.start}") from error


def parse_plain_yaml(text: str, subject: str) -> Any:
    """The one document of a YAML text.

    Raises:
        DataError: it is not YAML, not plain data, or too much of it. `subject` is what the sentence calls the text.
    """
    if len(text) > MAX_CHARACTERS:
        raise DataError(f"{subject} is longer than the {MAX_CHARACTERS:,} characters that are read")
    try:
        _Bounds().check(yaml.parse(text, _PlainLoader))
        return yaml.load(text, _PlainLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{subject} is not valid YAML: {' '.join(str(error).split())[:300]}") from error


def find_line(text: str, steps: Sequence[str | int]) -> int:
    """The line, from 1, of the last key or item on the way that these steps lead through a text that could be parsed."""
    node, line = yaml.compose(text, _PlainLoader), 1
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            place, node = next(((key, value) for key, value in node.value if key.value == step), (None, None))
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            place = node = node.value[step]
        else:
            break
        if place is None:
            break
        line = place.start_mark.line + 1
    return line


def line_of_problem(error: DataError) -> int:
    """The line, from 1, at which `parse_plain_yaml` stopped; 1 where it never began."""
    mark = getattr(error.__cause__, "problem_mark", None)
    return 1 if mark is None else mark.line + 1


class _Bounds:
    """What was counted of a text's events so far; the first that is too much ends it."""

    def __init__(self) -> None:
        self._nodes = self._aliases = self._depth = 0
        self._anchored_at: int | None = None  # how deep the outermost collection lies that an alias may stand for

    def check(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            if isinstance(event, yaml.CollectionEndEvent):
                self._leave()
            elif isinstance(event, yaml.NodeEvent):
                self._enter(event)

    def _enter(self, event: yaml.NodeEvent) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _problem(f"more than {MAX_NODES:,} values", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            self._count_alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            _check_tag(event, event.tag, (None, "!", "tag:yaml.org,2002:str"))
            if "\0" in event.value:
                raise _problem("the character NUL", event.start_mark)
        elif isinstance(event, yaml.CollectionStartEvent):
            _check_tag(event, event.tag, (None, "!"))
            self._open(event)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _problem(f"nested too deeply, more than {MAX_DEPTH} levels", event.start_mark)
        if event.anchor is not None and self._anchored_at is None:
            self._anchored_at = self._depth

    def _leave(self) -> None:
        if self._anchored_at == self._depth:
            self._anchored_at = None
        self._depth -= 1

    def _count_alias(self, event: yaml.AliasEvent) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise _problem(f"more than {MAX_ALIASES} aliases", event.start_mark)
        if self._anchored_at is not None:
            name = shorten(event.anchor or "")
            raise _problem(f"the alias `*{name}` inside of what another alias may stand for", event.start_mark)


def _check_tag(event: yaml.Event, tag: str | None, allowed: tuple[str | None, ...]) -> None:
    if tag not in allowed:
        raise _problem(f"the tag `{shorten(tag or '')}`: plain data has none", event.start_mark)


def _problem(what: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


class _PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Builds what `_Bounds` let through; refuses a key that stands twice, where YAML itself takes the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _problem(f"the key `{shorten(key.value)}` stands twice", key.start_mark)
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _checked(construct: Callable[[Any, yaml.ScalarNode], float]) -> Callable[[Any, yaml.ScalarNode], float]:
    """A number's constructor that refuses what is too long, and what only looks like a number (`0x_`)."""

    def construct_number(loader: Any, node: yaml.ScalarNode) -> float:
        if len(node.value) > _MAX_DIGITS:
            raise _problem(f"a number of {len(node.value)} characters", node.start_mark)
        try:
            return construct(loader, node)
        except ValueError:
            raise _problem(
                f"`{node.value}`, which is no number; put it in quotes if it is a text", node.start_mark
            ) from None

    return construct_number


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in _NO_DATA]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_constructor("tag:yaml.org,2002:int", _checked(yaml.SafeLoader.construct_yaml_int))
_PlainLoader.add_constructor("tag:yaml.org,2002:float", _checked(yaml.SafeLoader.construct_yaml_float))
