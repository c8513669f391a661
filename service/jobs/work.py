"""The process of a job: does what the command in the terminal does, and says how far it is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from service.anchors.bases import named_base
from service.anchors.making import chosen_families, make_set
from service.bases.adoption import add_base
from service.jobs.records import Progress, write_progress
from service.logs import set_up_logging
from service.rounds.child import read_settings
from service.settings import Settings
from service.store.session import open_store
from service.suites import add_suite

Tell = Callable[[Progress], None]


def work(asked: dict[str, Any]) -> dict[str, Any]:
    """Do the job, and give the sentence that it ends with. Raises PerennialError as the command does."""
    settings, folder = read_settings(asked["settings"]), Path(asked["folder"])
    set_up_logging()

    def tell(progress: Progress) -> None:
        write_progress(folder, progress)

    return {"sentence": _KINDS[asked["kind"]](settings, asked["what"], asked["arguments"], tell)}


def _base(settings: Settings, what: str, arguments: Mapping[str, Any], tell: Tell) -> str:
    store = open_store(settings)
    try:
        base = add_base(
            settings,
            store,
            what,
            arguments.get("name"),
            None,
            lambda step, done, total: tell(Progress(step=step, done=done, total=total)),
        )
    finally:
        store.close()
    proven = sum(proof.passed for proof in base.proofs)
    return f"{base.name} is adopted: {proven} of {len(base.proofs)} proofs passed"


def _anchors(settings: Settings, what: str, arguments: Mapping[str, Any], tell: Tell) -> str:
    made = make_set(
        settings,
        named_base(settings, what, None),
        count=int(arguments["count"]),
        seed=0,
        families=chosen_families(None),
        say=lambda forecast: tell(Progress(step="anchors", note=f"about {forecast.seconds / 60:.0f} min")),
        show=lambda done, total, note: tell(Progress(step="anchors", done=done, total=total, note=note)),
    )
    return f"{made.folder.name} has {sum(made.card.kept.values()):,} anchors; name it in a recipe: anchors: {made.folder.name}"


def _suite(settings: Settings, what: str, arguments: Mapping[str, Any], tell: Tell) -> str:
    tell(Progress(step="read"))
    data = arguments.get("data")
    suite = add_suite(settings, what, data=Path(data) if data else None, hub=bool(arguments.get("hub")))
    return f"{suite.name} has {len(suite.items['gate']):,} items for gates and {len(suite.items['dev']):,} to choose on"


_KINDS = {"base": _base, "anchors": _anchors, "suite": _suite}
