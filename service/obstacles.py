"""What stops you: everything that keeps conversations from becoming a better model, each with its cure.

keys_lost          the key store is older than the database, so newer people's text cannot be read
names_unset        nothing says how names are found, so nothing is curated
names_unusable     the model for names is not there
worker_gone        no worker curates or trains
worker_crashes     workers crash, one after the other
curation_stuck     a worker is there, and conversations wait all the same
engine_gone        nobody runs the engine
engine_refuses     the engine cannot load the champion: its file has changed, say
champion_missing   the champion's file is gone
champion_tainted   the champion learned from a person who was erased
no_champion        nothing answers chat yet, or the first champion could not be made
disk_low           little is free; told before rounds have to stop
disk_full          less is free than must be: rounds wait, conversations are stored
chats_waiting      chats that passed the proxy are on disk and nobody stores them
spool_full         there is no more room for them
chats_lost         chats passed and were not recorded, and why
target_failed      the champion could not be brought to a deploy target
champion_worse      people, errors or lengths say that the champion is worse than the one before
champion_taken_back the watch rolled a champion back
targets_unusable   the file that names the deploy targets cannot be read
recipe_unusable    the settings name a recipe that cannot be read
unrated, consent   too few conversations can train, and why
port_taken         the address to listen on is another program's (only at the start)

Shown by `perennial up`, `perennial plan`, GET /healthz and the overview.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from sqlmodel import Session

from pipelines.curate.ner import check_models
from pipelines.errors import InputError, RecipeError
from pipelines.recipe import Recipe
from pipelines.recipe_file import load_recipe
from service.engine.state import engine_view, read_watch
from service.ingest.losses import REASONS, TOLD, read_losses
from service.ingest.spool import waiting
from service.models.origin import read_preparation
from service.models.targets.deploy import list_targets
from service.models.watch import latest_watch, taken_back
from service.models.watch import sentence as watch_sentence
from service.room import GIGABYTE, LOW, free_bytes
from service.settings import MAX_PORT, Settings
from service.store import models, people
from service.store.clock import database_time
from service.store.crashes import KILLED, crashes_since
from service.store.health import backlog, last_beat
from service.store.rounds import promoted_rounds
from service.store.session import Store
from service.store.trainable import Trainable, count_trainable

LATE_SECONDS = 300.0  # a conversation that waits longer than this for curation
MAX_CRASHES, CRASH_WINDOW = 3, timedelta(minutes=10)  # of workers: so many within so long are no accident
SPOOL_FULL, LOSS_SECONDS = 0.9, 3600.0  # of what may wait on disk; how long ago a chat that was not recorded is told
SILENT_SECONDS = 60.0  # a worker that did not say for this long that it is alive
NOTHING = "Nothing stops you."


@dataclass(frozen=True)
class Obstacle:
    """One thing that stops the wheel. `degrades`: something that should work does not, as against a lack of data."""

    name: str
    sentence: str
    cure: str
    degrades: bool = True

    def line(self) -> str:
        """Both in one line, for a terminal or an error."""
        return f"{self.sentence}. {self.cure}."


Counts = Callable[[int], Trainable]


def find_obstacles(
    settings: Settings, store: Store, recipe: Recipe | None = None, counts: Counts | None = None
) -> list[Obstacle]:
    """What stops this service now, the most basic first; empty if nothing does.

    `recipe` is the one whose number of examples counts, the settings' own if None; `counts` a watch over what can
    train, for who asks often. Raises SQLAlchemyError if the database does not answer.
    """
    with store.read() as session:
        found = [*_keys(session), *naming(settings, session), *_work(settings, session), *answering(settings, session)]
        counts = counts or (lambda enough: count_trainable(session, enough))
        found += [*_targets(settings, session)]
        found += [*_disk(settings), *_proxy(settings), *_data(settings, session, recipe, counts)]
    return found


def answering(settings: Settings, session: Session) -> Iterator[Obstacle]:
    """What keeps chat from being answered by the champion, or should."""
    champion = models.champion_id(session)
    if champion is None:
        yield _without_champion(settings)
        return
    entry = models.get_model(session, champion)
    if entry.model.tainted_at is not None:
        yield Obstacle(
            "champion_tainted",
            f"the champion '{champion}' learned from a person who was erased on {entry.model.tainted_at:%Y-%m-%d}",
            "Run a round and promote its model, or roll back (`perennial rollback`); its file goes "
            f"{settings.erasure_keep_days} days later",
        )
    gone = _missing_file(settings, entry)
    if gone is not None:
        yield Obstacle(
            "champion_missing",
            f"the file of the champion '{champion}' is gone: {gone}",
            "Bring it back from the backup (docs/operating.md), roll back (`perennial rollback`), or promote another model",
        )
        return
    yield from _watched(session, champion)
    yield from _engine(settings, champion)


def port_taken(host: str, port: int) -> Obstacle:
    """The obstacle that somebody else listens at this address already."""
    return Obstacle(
        "port_taken",
        f"another program (or another Perennial) listens on {host}:{port} already",
        f"Stop it, or take another port: PERENNIAL_PORT={port + 1 if port < MAX_PORT else port - 1} perennial up",
    )


def _keys(session: Session) -> Iterator[Obstacle]:
    if people.has_lost_newest_key(session):
        yield Obstacle(
            "keys_lost",
            "the key store holds no key of the newest person: it is older than the database, and the text of everybody who "
            "came after it cannot be read",
            "Put back a newer copy of the keys (docs/operating.md, Restore), or let them go: `perennial db forget-lost`",
        )


def naming(settings: Settings, session: Session) -> Iterator[Obstacle]:
    """What keeps people's names from being found, and so everything from being curated."""
    waiting = backlog(session).waiting
    if not settings.says_how_to_find_names:
        yield Obstacle(
            "names_unset",
            "nothing says how people's names are to be found, so conversations are kept but not curated, and no round "
            "can use them" + (f" ({waiting} wait)" if waiting else ""),
            "Start with `perennial up --names rules`, or better with `--names MODEL` (docs/operating.md, Names)",
        )
    if settings.ner_model is not None:
        try:
            check_models(settings.ner_model)
        except InputError as error:
            yield Obstacle("names_unusable", str(error), "Until then nothing is curated")


def _work(settings: Settings, session: Session) -> Iterator[Obstacle]:
    seen, at = last_beat(session), database_time(session)
    yield from _crashes(session, at)
    if seen is None:
        yield Obstacle("worker_gone", "no worker was ever seen, so nothing is curated and no round runs", _START_WORKER)
    elif (silent := (at - seen).total_seconds()) > SILENT_SECONDS:
        yield Obstacle("worker_gone", f"no worker was seen for {silent:.0f} s", _START_WORKER)
    elif settings.says_how_to_find_names:
        yield from _stuck(session, at)


def _crashes(session: Session, at: datetime) -> Iterator[Obstacle]:
    found = crashes_since(session, at - CRASH_WINDOW)
    if found.number >= MAX_CRASHES:
        how = "killed" if found.last == KILLED else f"ended by {found.last}"
        yield Obstacle(
            "worker_crashes",
            f"workers crashed {found.number} times within {CRASH_WINDOW.seconds // 60} minutes, the last one was {how}",
            "See what it said last, where `perennial up` or `perennial worker` prints it; if it was killed, look for what "
            "did that: too little memory, most often",
        )


_START_WORKER = "Start one: `perennial worker`, or everything with `perennial up`"


def _stuck(session: Session, at: datetime) -> Iterator[Obstacle]:
    left = backlog(session)
    waits = 0.0 if left.oldest is None else (at - left.oldest).total_seconds()
    if waits > LATE_SECONDS:
        yield Obstacle(
            "curation_stuck",
            f"{left.waiting} conversations wait for curation, the oldest for {waits:.0f} s",
            "Run `perennial curate` to see what is wrong; start a second `perennial worker` if there is just too much",
        )


def _without_champion(settings: Settings) -> Obstacle:
    preparation = read_preparation(settings.home)
    if preparation is None:
        sentence, cure = "there is no champion yet, so nobody answers chat", "Make the origin one: `perennial origin`"
        return Obstacle("no_champion", sentence, cure, degrades=False)
    if preparation.problem is None:
        sentence = (
            f"the first champion is being made from {preparation.recipe}, and chat is not answered until it is there"
        )
        return Obstacle("no_champion", sentence, "Wait a moment, for a large model some minutes", degrades=False)
    return Obstacle(
        "no_champion",
        f"the first champion could not be made from {preparation.recipe}: {preparation.problem}",
        "Mend that and run `perennial origin`, or name another recipe with PERENNIAL_RECIPE",
    )


def _missing_file(settings: Settings, entry: models.StoredModel) -> str | None:
    """The first file of a served form that is not there, as the database names it: relative to the home."""
    if entry.form is None:
        return f"models/{entry.model.id}"
    paths = [path for path in (entry.form.path, entry.form.adapter_path) if path]
    return next((path for path in paths if not (settings.home / path).is_file()), None)


def _engine(settings: Settings, champion: str) -> Iterator[Obstacle]:
    view, watch = engine_view(settings.home, champion), read_watch(settings.home)
    if view.state == "down":
        yield Obstacle("engine_gone", f"nobody runs the engine, so '{champion}' does not answer", _START_ENGINE)
    elif view.state != "serving" and watch is not None and watch.problem:
        yield Obstacle(
            "engine_refuses",
            f"the engine does not serve '{champion}': {settings.without_paths(watch.problem)}",
            "It tries again by itself. If this stays, see logs/engine.log in the home, bring the model's file back from the "
            "backup (docs/operating.md), or roll back (`perennial rollback`)",
        )


def _watched(session: Session, champion: str) -> Iterator[Obstacle]:
    row, gone = latest_watch(session), taken_back(session)
    if row is not None and row.alarm_at is not None:
        yield Obstacle(
            "champion_worse",
            f"'{champion}' does worse than the weeks before it: {watch_sentence(row)}",
            "Look at its answers (`perennial models ask`) and roll back if they are (`perennial rollback`); "
            "PERENNIAL_WATCH=on does so by itself",
        )
    if gone is not None:
        yield Obstacle(
            "champion_taken_back",
            f"'{gone.model_id}' was rolled back by itself, as it did worse than the weeks before it: {watch_sentence(gone)}",
            f"'{champion}' answers again; promote another model when you have one",
            degrades=False,
        )


_START_ENGINE = "Start it: `perennial engine`, or everything with `perennial up`"


def _targets(settings: Settings, session: Session) -> Iterator[Obstacle]:
    try:
        failed = [one for one in list_targets(settings, session) if one.state == "failed"]
    except InputError as error:
        yield Obstacle("targets_unusable", str(error), "Mend the file; until then the champion is brought nowhere")
        return
    if failed:
        yield Obstacle(
            "target_failed",
            "; ".join(one.line() for one in failed),
            f"Mend that and run `perennial models deploy {failed[0].name}`; see docs/deploying.md",
        )


def _disk(settings: Settings) -> Iterator[Obstacle]:
    free, least = free_bytes(settings), settings.min_free_bytes
    if free >= LOW * least:
        return
    said = f"{free / GIGABYTE:.2f} GB are free where the home folder lies"
    cure = "Delete old models with `perennial gc`, or make room; the limit is PERENNIAL_MIN_FREE_BYTES"
    if free < least:
        yield Obstacle(
            "disk_full", f"{said}, less than {least / GIGABYTE:.2f}: rounds wait, conversations are still stored", cure
        )
    else:
        yield Obstacle("disk_low", f"{said}; rounds stop below {least / GIGABYTE:.2f}", cure, degrades=False)


def _proxy(settings: Settings) -> Iterator[Obstacle]:
    left = waiting(settings.spool)
    if left.bytes > SPOOL_FULL * settings.spool_bytes:
        yield Obstacle(
            "spool_full",
            f"{left.count} chats that passed the proxy wait on disk, and with their {left.bytes:,} bytes there is no more room: "
            "further ones are not recorded",
            "Bring the database back, start the proxy if none runs, or raise PERENNIAL_SPOOL_BYTES",
        )
    elif left.oldest is not None and (waits := time.time() - left.oldest) > LATE_SECONDS:
        yield Obstacle(
            "chats_waiting",
            f"{left.count} chats that passed the proxy wait on disk to be stored, the oldest for {waits:.0f} s",
            "Start the proxy again (`perennial proxy`, or `serve` with PERENNIAL_UPSTREAM), and see its log if it runs",
        )
    losses = read_losses(settings.home)
    recent = [why for why, loss in losses.items() if why in TOLD and time.time() - loss.last < LOSS_SECONDS]
    if recent:
        counts = ", ".join(f"{losses[why].count} {REASONS[why]}" for why in recent)
        cure = "See docs/proxy.md, What is recorded"
        if "unnamed" in recent:
            cure = "Say whose chats they are: the header X-Perennial-User, `user` in the body, or PERENNIAL_PROXY_USER"
        yield Obstacle("chats_lost", f"of the chats that passed the proxy so far, {counts}", cure, degrades=False)


def _data(settings: Settings, session: Session, recipe: Recipe | None, counts: Counts) -> Iterator[Obstacle]:
    try:
        recipe = recipe or _read_recipe(settings.recipe_path, _changed_at(settings.recipe_path))
    except RecipeError as error:
        yield Obstacle(
            "recipe_unusable", settings.without_paths(str(error)), "Name another recipe with PERENNIAL_RECIPE"
        )
        return
    asked = recipe.phase(promoted_rounds(session, recipe.name)).min_examples
    found = counts(asked)
    if found.ready >= asked:
        return
    lack = f"a round of '{recipe.name}' asks for {asked} rated conversations with consent, and finds {found.ready}"
    if found.unrated:
        yield Obstacle(
            "unrated",
            f"{lack}: {found.unrated} of {found.clean} clean ones are not rated",
            "Send `satisfaction`, votes or corrections; imports take ratings too",
            degrades=False,
        )
    if found.without_consent:
        yield Obstacle(
            "consent",
            f"{lack}: {found.without_consent} of {found.clean} clean ones have no consent",
            "Send them again with `consent: true`, where the person agreed",
            degrades=False,
        )


@lru_cache(maxsize=4)
def _read_recipe(path: Path, changed_at: int | None) -> Recipe:
    """The recipe in a file, read again once it has changed: pages ask every two seconds."""
    return load_recipe(path)


def _changed_at(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.is_file() else None
