"""What a round compares itself with and trains on top of, fixed when it is first claimed, whatever is promoted meanwhile."""

from pathlib import Path

from sqlmodel import Session

from pipelines import artifacts
from pipelines.context import Adapter, Baseline, RoundContext
from pipelines.errors import ArtifactError
from pipelines.records import Record
from service.rounds.requests import Claim, recipe_of
from service.settings import Settings
from service.store import models, rounds, tables
from service.store.files import served
from service.store.session import Store


class Pins(Record):
    """The champion and its lineage. `passed_over` are models of it that learned from somebody who was erased since.

    A `sequential` round trains on top of the newest model of `lineage`, from which those passed over are taken away.
    """

    champion: str | None
    promoted: int
    lineage: tuple[str, ...]
    passed_over: tuple[str, ...] = ()


def pin(claim: Claim) -> tuple[tables.Round, Pins]:
    """The round's row, and what it is pinned to."""
    with claim.writing(lock="erasure") as session:
        row = rounds.get_round(session, claim.round_id)
        if "promoted" not in row.counts:
            pins = _pins(session, row)
            # what erasure looks at: a round on top of a model that learns of an erased person must end
            on_top = pins.lineage if recipe_of(row).lineage == "sequential" else ()
            row.counts = {**row.counts, **pins.model_dump(mode="json"), "trains_on": on_top}
            session.add(row)
        counts = row.counts
    return row, Pins.model_validate({name: counts[name] for name in Pins.model_fields if name in counts})


def _pins(session: Session, row: tables.Round) -> Pins:
    champion, lineage = rounds.champion_lineage(session)
    kept = lineage
    if recipe_of(row).lineage == "sequential":
        kept = rounds.untainted(session, lineage)
    return Pins(
        champion=champion,
        promoted=rounds.promoted_rounds(session, row.recipe_name),
        lineage=tuple(kept),
        passed_over=tuple(lineage[len(kept) :]),
    )


def round_context(settings: Settings, store: Store, claim: Claim, pins: Pins, number: int) -> RoundContext:
    """What surrounds an attempt of the round.

    Raises:
        ArtifactError: the champion's files are gone: better to miss them now than after hours of training.
    """
    with store.read() as session:
        row = rounds.get_round(session, claim.round_id)
        entry = models.get_model(session, pins.champion) if pins.champion else None
        lineage = tuple(_adapter(settings, models.get_model(session, name).model) for name in pins.lineage)
        sampler = _sampler(session, settings, pins.champion)
    schedule = recipe_of(row).schedule
    champion = (
        _there(Baseline(id=entry.model.id, form=served(settings.home, entry.form))) if entry and entry.form else None
    )
    return RoundContext(
        project=settings.project,
        models=settings.models,
        scores=settings.scores,
        suites=settings.suites,
        anchors=settings.anchors,
        champion=champion,
        sampler=sampler,
        lineage=tuple(adapter for adapter in lineage if adapter),
        passed_over=pins.passed_over,
        attempt=number,
        min_new=schedule.min_new_examples if schedule and row.schedule else 0,
    )


def _sampler(session: Session, settings: Settings, champion: str | None) -> Baseline | None:
    """The champion, or of those before it the newest, that learned from nobody who was erased; None if there is none."""
    names = models.reign(models.promotions(session))
    before = names[: names.index(champion)] if champion in names else []
    for name in (champion, *reversed(before)):
        entry = models.get_model(session, name) if name else None
        if entry and entry.form and entry.model.tainted_at is None:
            form = served(settings.home, entry.form)
            if Path(form.path).is_file():  # that of an earlier champion may have been collected
                return Baseline(id=entry.model.id, form=form)
    return None


def _there(champion: Baseline) -> Baseline:
    """The champion, whose files a round needs at its end: better to miss them now than after hours of training."""
    files = [path for path in (champion.form.path, champion.form.adapter_path) if path]
    gone = next((path for path in files if not Path(path).is_file()), None)
    if gone:
        raise ArtifactError(
            f"a round needs the champion {champion.id}, and its file {gone} is gone: restore it or promote another model"
        )
    return champion


def _adapter(settings: Settings, model: tables.Model) -> Adapter | None:
    """The adapter of a model of the lineage, as its export merged it; None for the origin."""
    if model.adapter_path is None:
        return None
    folder = settings.home / model.adapter_path
    exported = artifacts.read_manifest(folder.parent.parent / "export")
    said = exported.output if exported else {}
    how = {name: said[name] for name in ("scale", "merged_onto") if name in said}
    return Adapter.model_validate({"folder": str(folder), **how})
