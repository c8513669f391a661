"""Commands about data: curate, forget."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from pipelines.errors import InputError, NotFound
from service import curation, erasure
from service.cli.home import Home, agrees, console, open_home, whoami
from service.cli.user_ids import FROM_INPUT, read_user
from service.curation.configuration import configuration
from service.ingest import DEFAULT_APP
from service.models import promotion
from service.progress import open_progress
from service.store import conversations, people
from service.store.health import backlog
from service.store.tables import Conversation

App = Annotated[str, typer.Option(help="the app that the data belongs to")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(curate)
    app.command()(forget)


def curate(
    explain: Annotated[
        str | None, typer.Option(help="a conversation's id: show what curation did, without its text")
    ] = None,
    app: App = DEFAULT_APP,
    again: Annotated[bool, typer.Option("--again", help="curate again what is still there as it came in")] = False,
    since: Annotated[
        datetime | None, typer.Option(help="with --again: only what was curated since then, in UTC")
    ] = None,
) -> None:
    """Curate everything that waits, or explain what curation did with one conversation."""
    if since is not None and not again:
        raise InputError("--since says what is curated again: add --again")
    home = open_home()
    if explain is not None:
        _explain(home, explain, app)
        return
    if again:
        _again(home, since)
        return
    curate_waiting(home)


def curate_waiting(home: Home) -> None:
    """Curate everything that waits, and say what became of it. Raises InputError if nothing says how names are found."""
    with home.store.read() as session:
        waiting = backlog(session).waiting
    totals: dict[str, int] = {}
    with curation.open_curator(home.settings, store=home.store) as curator, open_progress(console) as shown:
        while counts := curation.curate_due(home.store, home.vault, curator):
            totals = {name: totals.get(name, 0) + counts.get(name, 0) for name in totals | counts}
            shown.update("curate", min(waiting, sum(totals.values())), waiting)
    console.print(", ".join(f"{count} {name}" for name, count in sorted(totals.items())) or "nothing waits")


def _again(home: Home, since: datetime | None) -> None:
    at = None if since is None else since.replace(tzinfo=since.tzinfo or UTC)
    with curation.open_curator(home.settings, store=home.store) as curator, open_progress(console) as shown:
        totals = curation.curate_again(
            home.store,
            home.vault,
            curator,
            home.settings.home,
            at,
            lambda done, total: shown.update("curate again", done, total),
        )
    console.print(", ".join(f"{count} {name}" for name, count in sorted(totals.items())) or "nothing to curate again")


def forget(
    user: Annotated[
        str, typer.Argument(metavar="[-]", help="its id is asked for, or read from standard input")
    ] = FROM_INPUT,
    app: App = DEFAULT_APP,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Destroy a person's key, and with it all their text, after showing what goes and asking; it cannot be undone."""
    home = open_home()
    user = read_user(user)
    _show_footprint(erasure.footprint(home.store, home.vault, app, user))
    if not yes and not agrees("Forget this person?"):
        console.print("Nothing was forgotten.")
        raise typer.Exit(1)
    receipt = erasure.forget(home.store, home.vault, app, user, actor=whoami())
    console.print(
        f"forgotten: {receipt.conversations} conversations can no longer be read (receipt {receipt.id})", soft_wrap=True
    )
    if receipt.keys_copied_at:
        console.print(
            f"The copy of the keys of {receipt.keys_copied_at:%Y-%m-%d %H:%M} still opens them in older backups: replace it "
            "with `perennial db backup-keys`.",
            soft_wrap=True,
        )
    if receipt.cancelled:
        console.print(f"rounds that were stopped: {', '.join(map(str, receipt.cancelled))}")


def _show_footprint(found: erasure.Footprint) -> None:
    """What would go, and what is marked because it learned from it."""
    console.print(
        f"goes for good: {found.conversations} conversations, {found.ratings} votes and comparisons, "
        f"{found.corrections} corrections",
        soft_wrap=True,
    )
    console.print(f"rounds that used them: {', '.join(map(str, found.rounds)) or 'none'}", soft_wrap=True)
    console.print(f"models that learned from them: {', '.join(found.models) or 'none'}", markup=False, soft_wrap=True)
    if found.models:
        console.print(f"These models become {promotion.TAINTED}.", soft_wrap=True)


def _explain(home: Home, client_id: str, app: str) -> None:
    from pipelines.curate.curate import Curator

    row = _find(home, client_id, app)
    curator = Curator(configuration(home.settings))
    told = curation.explain(home.store, home.vault, curator, row)
    console.print(f"state: {told.state}" + (f" ({told.reason})" if told.reason else ""), markup=False)
    if not told.steps:
        console.print("the raw text is gone, so the steps cannot be shown again")
    for step in told.steps:
        console.print("  " + "  ".join(f"{name} {value}" for name, value in step.items()), markup=False)


def _find(home: Home, client_id: str, app: str) -> Conversation:
    with home.store.read() as session:
        app_id = people.app_id(session, app)
        row = conversations.find(session, app_id, home.vault.conversation_hash(app_id, client_id)) if app_id else None
    if row is None:
        raise NotFound(f"the app {app!r} has no conversation with the id {client_id!r}")
    return row
