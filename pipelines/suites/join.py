"""Several suites as one: HumanEval's 164 items are too few for a gate, with MBPP's they are enough."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.artifacts import digest_of
from pipelines.errors import SuiteError
from pipelines.suites.load import SPLITS, Item, Split, Suite
from pipelines.suites.write import SuiteText


def join_suites(name: str, suites: Sequence[Suite]) -> SuiteText:
    """One suite of the items of these, dev to dev and gate to gate; each suite is a subject, or several, of it.

    Raises:
        SuiteError: they are fewer than two, have no scorer of ours, or are not scored by the same one.
    """
    scorers = {suite.scorer for suite in suites}
    if len({suite.name for suite in suites}) < 2 or len(scorers) > 1 or None in scorers:
        named = ", ".join(f"{suite.name} by {suite.scorer or 'lm-evaluation-harness'}" for suite in suites)
        raise SuiteError(f"two suites or more with one scorer of ours can be joined, and these are {named}")
    items = {split: [_item(suite, item) for suite in suites for item in suite.items[split]] for split in SPLITS}
    prefixes = {item.stratum: str(item.fields.get("prefix") or "") for split in SPLITS for item in items[split]}
    bare = {split: [_without_prefix(item) for item in items[split]] for split in SPLITS}
    return SuiteText(
        name, _task(suites, bare), bare["dev"], bare["gate"], {s: text for s, text in prefixes.items() if text}
    )


def _item(suite: Suite, item: Item) -> Item:
    stratum = f"{suite.name}/{item.stratum}" if item.stratum else suite.name
    return Item(item.id, item.prompt, item.answer, stratum, {**item.fields, "stratum": stratum})


def _without_prefix(item: Item) -> Item:
    fields = {key: value for key, value in item.fields.items() if key != "prefix"}
    return Item(item.id, item.prompt, item.answer, item.stratum, fields)


def _task(suites: Sequence[Suite], items: Mapping[Split, Sequence[Item]]) -> dict[str, Any]:
    """The first suite's way of asking; the longest answers and all the stop texts of them."""
    first = suites[0]
    kept = {key: first.task[key] for key in ("filter_list", "metric_list") if key in first.task}
    settings = [suite.task["generation_kwargs"] for suite in suites if "generation_kwargs" in suite.task]
    if settings:
        until = list(dict.fromkeys(mark for one in settings for mark in one.get("until") or []))
        longest = max(int(one.get("max_gen_toks", 0)) for one in settings)
        kept["generation_kwargs"] = {**settings[0], "until": until, "max_gen_toks": longest}
    about = {
        key: ", ".join(dict.fromkeys(str(suite.metadata.get(key)) for suite in suites)) for key in ("source", "licence")
    }
    version = f"1.{digest_of([dict(item.fields) for split in SPLITS for item in items[split]])[:8]}"
    metadata = {"version": version, "scorer": first.scorer, "joins": ", ".join(suite.name for suite in suites), **about}
    return {**kept, "scorer": first.scorer, "metric": first.metric, "metadata": metadata}
