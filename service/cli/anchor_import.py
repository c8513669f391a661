"""Chats of any format that `import` reads as a set of anchors: through the real curation, in a home of their own.

That home's keys and database are gone at the end; what stays is anonymized text in the set's files.
"""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pipelines.anchors.sets import CARD, SetCard
from pipelines.artifacts import write_atomic
from pipelines.errors import Conflict, InputError
from pipelines.mixture.anchors import Anchor, AnchorName, AnchorTurn
from pipelines.records import RatedConversation
from service import curation
from service.anchors.bases import NamedBase
from service.cli.dry_run import own_home
from service.cli.home import console
from service.corpus import StoreCorpus
from service.curation.curate import Curator
from service.ingest.importers.items import EACH, Options
from service.ingest.importers.post import direct_post
from service.ingest.importers.reading import Mark, find_work, read_work
from service.ingest.importers.ready import Terms
from service.ingest.importers.run import Batch, scratch_folder
from service.ingest.importers.table import FORMATS
from service.progress import ProgressView, open_progress
from service.settings import Settings
from service.store.session import Store
from service.vault import Vault

_APP, _CODING = "anchors", "coding"
_FAMILY = "imported"


class BroughtSet(NamedTuple):
    """The set that was written, and its name."""

    name: str
    card: SetCard


def import_set(settings: Settings, path: Path, base: NamedBase) -> BroughtSet:
    """Write what lies at a path as the set of this base.

    Raises:
        Conflict: there is a set of that name. NotFound, InputError: nothing there can be read, or nothing of it is left.
        InputError: curation is not set up (which model finds names).
    """
    folder = settings.anchors / base.set_name
    if folder.exists():
        raise Conflict(f"there is a set '{base.set_name}' already; give this one another --name, or delete {folder}")
    rejected: Counter[str] = Counter()
    with own_home(settings) as (own, store, vault), open_progress(console) as shown:
        total = _store(own, store, vault, path, rejected)
        with curation.open_curator(own) as curator:
            _curate(store, vault, curator, total, shown)
        corpus = StoreCorpus(store, vault)
        found = [(one, _anchor(one)) for one in corpus.candidates()]
        rejected.update(corpus.outcomes())
    rejected["no_answer"] += sum(anchor is None for _, anchor in found)
    kinds = {kind: [anchor for one, anchor in found if anchor and _kind(one) == kind] for kind in ("general", "coding")}
    if not any(kinds.values()):
        said = ", ".join(f"{count} {reason}" for reason, count in rejected.items() if count)
        raise InputError(f"nothing of {path.name} can be an anchor" + (f": {said}" if said else ""))
    card = _card(base, kinds, rejected)
    _write(folder, kinds, card)
    return BroughtSet(base.set_name, card)


def _store(settings: Settings, store: Store, vault: Vault, path: Path, rejected: Counter[str]) -> int:
    """Store the conversations of a path, feedback aside; how many there are."""
    scratch = scratch_folder(settings.home)
    options, terms, total = Options(_APP, EACH), Terms(consent=True, app=_APP), 0
    batch = Batch(Mark(0, 0))
    with direct_post(store, vault) as post:
        for mark, place, thing in read_work(find_work(path, FORMATS, scratch), options, scratch, Mark(0, 0)):
            batch.take(place, thing, terms, _APP)
            if batch.is_full:
                post(batch.ready)()
                total, batch = total + _counted(batch, rejected), Batch(mark)
        if batch.ready:
            post(batch.ready)()
    return total + _counted(batch, rejected)


def _counted(batch: Batch, rejected: Counter[str]) -> int:
    rejected.update(refusal.reason for _, refusal in batch.refused)
    return len(batch.ready)


def _curate(store: Store, vault: Vault, curator: Curator, total: int, shown: ProgressView) -> None:
    done = 0
    while counts := curation.curate_due(store, vault, curator):
        done += sum(counts.values())
        shown.update("curate", done, total)


def _anchor(one: RatedConversation) -> Anchor | None:
    """The turns up to the last answer; None without any, or where tools or corrections make more of it than turns."""
    turns = [message for message in one.messages if message.text]
    while turns and turns[-1].role != "assistant":
        turns.pop()
    plain = all(message.role != "tool" and not message.tool_calls and not message.corrects for message in turns)
    if not turns or not plain or not any(message.role == "user" for message in turns):
        return None
    said = tuple(AnchorTurn(role=message.role, content=message.text) for message in turns)
    return Anchor(id=one.conversation, family=f"{_FAMILY}-{one.language}", turns=said)


def _kind(one: RatedConversation) -> AnchorName:
    return "coding" if one.topic == _CODING else "general"


def _card(base: NamedBase, kinds: dict[str, list[Anchor]], rejected: Counter[str]) -> SetCard:
    kept = Counter(anchor.family for anchors in kinds.values() for anchor in anchors)
    return SetCard(
        base=base.identity,
        settings={"source": "imported"},
        kept=dict(sorted(kept.items())),
        rejected={reason: count for reason, count in sorted(rejected.items()) if count},
        made=datetime.now(UTC).replace(microsecond=0),
    )


def _write(folder: Path, kinds: dict[str, list[Anchor]], card: SetCard) -> None:
    folder.mkdir(parents=True)
    for kind, anchors in kinds.items():
        if anchors:
            write_atomic(folder / f"{kind}.jsonl", "".join(one.model_dump_json() + "\n" for one in anchors))
    write_atomic(folder / CARD, card.as_json())
