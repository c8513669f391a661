"""What whoever runs this machine chooses for it, by a command or on a page: kept in the home's settings file.

    var/settings.env    PERENNIAL_ALLOW_DEGRADED_NAMES=1
                        PERENNIAL_RETENTION_DAYS=14

It holds from the next start on. A variable of the environment goes before the file, and what one says cannot be chosen.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pipelines.curate.ner import check_models
from pipelines.errors import InputError, Refused
from service.settings import Settings, keep_settings, load_settings
from service.store import audit
from service.store.session import Store

RULES, LATER = "rules", "later"
RETENTION = ("PERENNIAL_RETENTION_DAYS", "PERENNIAL_REJECTED_DAYS", "PERENNIAL_ERASURE_KEEP_DAYS", "PERENNIAL_LOG_DAYS")
_MODEL, _ALLOWED = "PERENNIAL_NER_MODEL", "PERENNIAL_ALLOW_DEGRADED_NAMES"


def next_settings(settings: Settings) -> Settings:
    """The settings as the next start of this home will find them. Raises InputError where the file cannot be used."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("PERENNIAL_")}
    return load_settings(ours | {"PERENNIAL_HOME": str(settings.home)})


def is_set_outside(name: str) -> bool:
    """Whether a variable of the environment says this, so that it cannot be chosen."""
    return name in os.environ


def keep_names(settings: Settings, answer: str) -> Settings:
    """The settings with this answer (`rules`, `later` or models) to how names are found, which the home keeps from now on.

    Raises:
        InputError: a model that is not there, or the environment says something else.
    """
    answer = answer.strip()
    if answer not in (RULES, LATER):
        answer = ",".join(_absolute(name.strip()) for name in answer.split(","))
        check_models(answer)
    model = None if answer in (RULES, LATER) else answer
    keep_settings(settings.home, {_MODEL: model, _ALLOWED: "1" if answer == RULES else None})
    kept = next_settings(settings)
    stands = kept.ner_model == model and kept.says_how_to_find_names == (answer != LATER)
    if not stands:
        name = next(name for name in (_MODEL, _ALLOWED) if name in os.environ)
        raise InputError(f"--names {answer} is kept, but {name} is set in the environment and goes before it: unset it")
    return kept


def choose_names(settings: Settings, store: Store, answer: str, actor: str) -> None:
    """As `keep_names`, noted in the audit."""
    if outside := [name for name in (_MODEL, _ALLOWED) if is_set_outside(name)]:
        raise _outside(outside[0])
    if not answer.strip():
        raise InputError("name a model: an installed spaCy package, or the folder of a model, several with commas")
    keep_names(settings, answer)
    kind = answer.strip() if answer.strip() in (RULES, LATER) else "model"
    with store.begin() as session:
        audit.record(session, actor, "names_chosen", "names", {"by": kind})


def choose_retention(settings: Settings, store: Store, days: Mapping[str, str], actor: str) -> None:
    """Keeps for how many days what is kept, by the names of RETENTION, from the next start on; noted in the audit.

    Raises:
        InputError: no number of days, or another setting.
        Refused: a variable of the environment says it.
    """
    if others := sorted(set(days) - set(RETENTION)):
        raise InputError(f"{others[0][:80]!r} is not chosen here")
    known = load_settings({"PERENNIAL_HOME": str(settings.home)} | dict(days))  # checks each
    if outside := [name for name in days if is_set_outside(name)]:
        raise _outside(outside[0])
    keep_settings(settings.home, dict(days))
    chosen = {"raw": known.retention_days, "rejected": known.rejected_days, "logs": known.log_days}
    with store.begin() as session:
        audit.record(session, actor, "retention_chosen", "retention", chosen | {"tainted": known.erasure_keep_days})


def _outside(name: str) -> Refused:
    return Refused(
        f"{name} is set in the environment, which goes before what is chosen here: change it there, or unset it"
    )


def _absolute(name: str) -> str:
    """A folder by its whole path: the next start may come from another folder."""
    return str(Path(name).absolute()) if Path(name).is_dir() else name
