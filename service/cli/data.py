"""Commands about data: import, curate, forget."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import NotFound
from pipelines.feedback.reasons import CONVERSATION_REASONS
from service import curation, erasure
from service.cli.home import Home, agrees, console, open_home, whoami
from service.cli.user_ids import FROM_INPUT, read_user, refuse_typed_key
from service.curation.configuration import configuration
from service.ingest import DEFAULT_APP
from service.ingest.importers import ndjson
from service.ingest.importers.post import direct_post, http_post
from service.models import promotion
from service.progress import open_progress
from service.store import conversations, people
from service.store.health import backlog
from service.store.tables import Conversation

IMPORT_USER = "import"
App = Annotated[str, typer.Option(help="the app that the data belongs to")]
_SHOWN_PROBLEMS = 20


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command("import")(import_file)
    app.command()(curate)
    app.command()(forget)


def import_file(
    file: Annotated[Path, typer.Argument(help="NDJSON in the API's shape, or ChatML JSONL with `messages` only")],
    app: Annotated[str | None, typer.Option(help="the app of lines that name none")] = None,
    user: Annotated[
        str, typer.Option(help="-: lines without a user are of the one who is asked for, or read from standard input")
    ] = IMPORT_USER,
    consent: Annotated[
        bool | None, typer.Option("--consent/--no-consent", help="may lines that do not say be trained on?")
    ] = None,
    rating: Annotated[
        str | None, typer.Option(help="how lines that hold no rating are rated: 1 to 5, up or down")
    ] = None,
    url: Annotated[str | None, typer.Option(help="send to a running service instead of the database")] = None,
    key: Annotated[
        str | None,
        typer.Option(envvar="API_KEY", callback=refuse_typed_key, help="API key for --url, from the environment only"),
    ] = None,
) -> None:
    """Import a file; run it again after an interruption and it goes on where it stopped.

    Import it again with --consent or --rating to add them to what is stored already.
    """
    rated = None if rating is None else ndjson.parse_rating(rating)
    home, name = open_home(), os.fsencode(file.name).decode(errors="replace")
    with ExitStack() as stack:
        post = stack.enter_context(direct_post(home.store, home.vault) if url is None else http_post(url, key))
        shown = stack.enter_context(open_progress(console, in_bytes=True))
        counts = ndjson.import_file(
            file,
            post,
            home.settings.home,
            consent=consent,
            rating=rated,
            user=user if user == IMPORT_USER else read_user(user),
            app=app,
            target=url or home.settings.database_url,
            progress=lambda done, total: shown.update(name, done, total),
        )
    _summarize(counts, updates=consent is not None or rated is not None)
    if counts.conflict or counts.invalid or counts.failed:
        raise typer.Exit(1)


def _summarize(counts: ndjson.Counts, updates: bool) -> None:
    """What became of the lines, and which of them no round can learn from, and why."""
    for line, sentence in counts.problems[:_SHOWN_PROBLEMS]:
        console.print(f"line {line}: {sentence}", markup=False, soft_wrap=True)
    if len(counts.problems) > _SHOWN_PROBLEMS:
        console.print(f"... and {len(counts.problems) - _SHOWN_PROBLEMS} more")
    shown = ["created", "appended", "unchanged", "conflict", "invalid", *(["failed"] if counts.failed else [])]
    console.print(", ".join(f"{getattr(counts, name)} {name}" for name in shown), soft_wrap=True)
    if updates and counts.unchanged:
        console.print("Unchanged are the messages; consent and ratings count as given now.", soft_wrap=True)
    if not counts.cannot_train:
        return
    console.print(f"{sum(counts.cannot_train.values())} rows cannot train as the file gives them:", soft_wrap=True)
    for name, count in sorted(counts.cannot_train.items()):
        console.print(f"  {count} {name}: {CONVERSATION_REASONS[name]}", markup=False, soft_wrap=True)
    console.print("Consent and ratings are added by importing again with --consent or --rating.", soft_wrap=True)


def curate(
    explain: Annotated[
        str | None, typer.Option(help="a conversation's id: show what curation did, without its text")
    ] = None,
    app: App = DEFAULT_APP,
) -> None:
    """Curate everything that waits, or explain what curation did with one conversation."""
    home = open_home()
    if explain is not None:
        _explain(home, explain, app)
        return
    with home.store.read() as session:
        waiting = backlog(session).waiting
    totals: dict[str, int] = {}
    with curation.open_curator(home.settings) as curator, open_progress(console) as shown:
        while counts := curation.curate_due(home.store, home.vault, curator):
            totals = {name: totals.get(name, 0) + counts.get(name, 0) for name in totals | counts}
            shown.update("curate", min(waiting, sum(totals.values())), waiting)
    console.print(", ".join(f"{count} {name}" for name, count in sorted(totals.items())) or "nothing waits")


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
