"""What an import would bring, without storing it: counts by reason, samples through the real curation, and the examples
that a round would get.

A sample goes into a database of its own, under a key of its own, in a folder that is removed at the end.
"""

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import msgspec

from pipelines.errors import InputError
from pipelines.recipe_file import load_recipe
from pipelines.records import RatedMessage
from service import curation
from service.cli.home import Home, console
from service.corpus import StoreCorpus
from service.ingest.importers.counts import Counts
from service.ingest.importers.items import Options
from service.ingest.importers.post import Feedback, Ready, direct_post
from service.ingest.importers.reading import Mark, Work, read_work
from service.ingest.importers.ready import ReadyConversation, Terms
from service.ingest.importers.run import Batch, begin_batch, scratch_folder
from service.progress import open_progress
from service.settings import Settings
from service.store.session import Store, migrate, open_store
from service.vault import Vault, open_vault

SAMPLE, MAX_FEEDBACK, SHOWN = 200, 20_000, 3
CURATION_SECONDS = 60.0
_SHOWN_CHARACTERS = 400


@dataclass
class Rehearsal:
    """What came by: counts of everything, an even sample of the conversations, and the feedback that may be on them."""

    counts: Counts = field(default_factory=Counts)
    sample: list[ReadyConversation] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    conversations: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def count(self, batch: Batch) -> None:
        """Counts what is in a batch, and samples it."""
        for place, ready in zip(batch.places, batch.ready, strict=True):
            self.counts.add(place, ready, "created", None)
            self._sample(ready)
        for place, refusal in batch.refused:
            self.counts.refuse(place, refusal)
        for note in batch.notes:
            self.counts.note(note)

    def _sample(self, ready: Ready) -> None:
        if not isinstance(ready, ReadyConversation):
            if len(self.feedback) < MAX_FEEDBACK:
                self.feedback.append(ready)
            return
        self.conversations += 1
        if len(self.sample) < SAMPLE:
            self.sample.append(ready)
        elif (place := self._random.randrange(self.conversations)) < SAMPLE:
            self.sample[place] = ready


def read_all(home: Home, work: Work, options: Options, terms: Terms, name: str) -> Rehearsal:
    """Everything that would come in, counted."""
    seen, done, started = Rehearsal(), 0, time.monotonic()
    scratch = scratch_folder(home.settings.home)
    with open_progress(console, in_bytes=True) as shown:

        def show(count: int) -> None:
            nonlocal done
            done += count
            rate = seen.conversations / max(0.001, time.monotonic() - started)
            shown.update(name, min(done, work.size), work.size, f"{rate:,.0f} a second")

        seen.count(begin_batch(work))
        for mark, place, thing in read_work(work, options, scratch, Mark(0, 0), show):
            batch = Batch(mark)
            batch.take(place, thing, terms, options.app)
            seen.count(batch)
    return seen


def rehearse(home: Home, seen: Rehearsal, terms: Terms) -> None:
    """Shows anonymized samples, and how many examples a round would get.

    Raises:
        InputError: curation is not set up (which model finds names).
    """
    if not seen.sample:
        return
    with own_home(home.settings) as (settings, store, vault):
        with direct_post(store, vault) as post:
            post([_consented(one) for one in seen.sample])()
            if seen.feedback:
                post(seen.feedback)()
        curated = _curate(settings, store, vault, len(seen.sample))
        _show_samples(store, vault)
        _show_examples(settings, store, vault, seen, curated, terms)


def _consented(one: ReadyConversation) -> ReadyConversation:
    """As if consent were given where nothing is said of it."""
    return (
        one
        if one.incoming.consent is not None
        else one._replace(incoming=msgspec.structs.replace(one.incoming, consent=True))
    )


@contextmanager
def own_home(settings: Settings) -> Iterator[tuple[Settings, Store, Vault]]:
    """An empty database with keys of its own, for as long as the block lasts."""
    folder = scratch_folder(settings.home) / f"dry-run-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        own = replace(
            settings,
            home=folder,
            database_url=f"sqlite:///{folder / 'perennial.db'}",
            keys_url=None,
            erasure_list=None,
            master_key=None,
        )
        migrate(own)
        store = open_store(own)
        try:
            yield own, store, open_vault(own, store)
        finally:
            store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _curate(settings: Settings, store: Store, vault: Vault, total: int) -> int:
    """Curates what the time allows; how many of them that were."""
    done, deadline = 0, time.monotonic() + CURATION_SECONDS
    with curation.open_curator(settings) as curator, open_progress(console) as shown:
        while time.monotonic() < deadline and (counts := curation.curate_due(store, vault, curator)):
            done += sum(counts.values())
            shown.update("curate a sample", done, total)
    return done


def _show_samples(store: Store, vault: Vault) -> None:
    """The first conversations that became clean, as models would read them."""
    found = list(StoreCorpus(store, vault).candidates())[:SHOWN]
    for number, one in enumerate(found, 1):
        console.print(f"sample {number}, anonymized ({one.language}):")
        for message in one.messages:
            for text in _texts(message):
                console.print(f"  {message.role:<9} {text}", markup=False, highlight=False, soft_wrap=True)


def _texts(message: RatedMessage) -> Iterator[str]:
    """What a message says, thinks and calls, each on a line."""
    thought = [f"(thinks) {message.reasoning}"] if message.reasoning else []
    calls = [f"(calls {call.name}) {call.arguments}" for call in message.tool_calls]
    for part in [*thought, *([message.text] if message.text or not (thought or calls) else []), *calls]:
        text = " ".join(part.split())
        yield text[:_SHOWN_CHARACTERS] + (" ..." if len(text) > _SHOWN_CHARACTERS else "")


def _show_examples(settings: Settings, store: Store, vault: Vault, seen: Rehearsal, curated: int, terms: Terms) -> None:
    from service.rounds.forecast import preview_recipe

    try:
        recipe = load_recipe(settings.recipe_path)
    except InputError as error:
        console.print(f"How many examples a round would get cannot be said: {error}", markup=False, soft_wrap=True)
        return
    taken = preview_recipe(settings, store, vault, recipe)
    kinds = f"{taken.examples} for training, {taken.dev} to choose settings, {taken.heldout} held out"
    console.print(
        f"A round of {recipe.name} would get, of {curated} conversations tried: {kinds}.", markup=False, soft_wrap=True
    )
    if seen.conversations > curated:
        share = seen.conversations / max(1, curated)
        console.print(
            f"For all {seen.conversations:,} that is about {round(taken.examples * share):,} for training.",
            soft_wrap=True,
        )
    if terms.consent is None and seen.counts.cannot_train.get("no_consent"):
        console.print(
            f"That counts {seen.counts.cannot_train['no_consent']:,} of which nothing says that they may be learned from: "
            "only with --consent.",
            soft_wrap=True,
        )
    for reason, count in sorted({**taken.rejected, **taken.left_out}.items(), key=lambda pair: -pair[1]):
        console.print(f"  {count} left out: {reason}", markup=False, soft_wrap=True)
