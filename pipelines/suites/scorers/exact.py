"""The answer word for word, or what a pattern takes out of it, by the keys that the harness's tasks use for that.

filter_list: [{name: last-number, filter: [{function: regex, regex_pattern: "(-?[0-9.,]+)", group_select: -1}]}]
metric_list: [{metric: exact_match, ignore_case: true, regexes_to_ignore: [",", "\\\\.$"]}]
"""

import re
from collections.abc import Mapping
from typing import Any

from pipelines.suites.load import Item

_NOTHING = "[invalid]"  # what the harness puts where a pattern finds nothing


def score(item: Item, answer: str, task: Mapping[str, Any]) -> float:
    """1 if the answer equals the item's after both are read by the task's rules, else 0."""
    rules = task["metric_list"][0]
    return float(_read(_taken(answer, task), rules) == _read(item.answer, rules))


def _taken(answer: str, task: Mapping[str, Any]) -> str:
    """What the first filter with a pattern takes out of the answer; the whole of it where there is none."""
    steps = [step for chain in task.get("filter_list") or [] for step in chain["filter"] if "regex_pattern" in step]
    if not steps:
        return answer
    places = re.findall(steps[0]["regex_pattern"], answer)
    if not places:
        return _NOTHING
    place = places[int(steps[0].get("group_select", 0))]
    return next((part for part in place if part), _NOTHING) if isinstance(place, tuple) else str(place)


def _read(text: str, rules: Mapping[str, Any]) -> str:
    for pattern in rules.get("regexes_to_ignore") or []:
        text = re.sub(pattern, "", text)
    text = text.lower() if rules.get("ignore_case") else text
    return text.strip()
