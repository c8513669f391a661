"""Commands about models: models, why, promote, rollback, gc."""

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.table import Table

from pipelines.errors import NotFound
from pipelines.feedback.reasons import CONVERSATION_REASONS, FEEDBACK_REASONS
from service.cli.deploy import bring_to_targets, register_targets, say_targets
from service.cli.home import Home, console, open_home, print_table, whoami, whole
from service.cli.user_ids import read_user
from service.ingest import DEFAULT_APP
from service.models import contributions, promotion, watch
from service.models.answers import ask, whom_to_ask
from service.models.contributions import Contribution, Influence
from service.models.gc import collect
from service.store.models import champion_id, list_models

_models = typer.Typer()


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.add_typer(_models, name="models")
    app.command()(why)
    app.command()(promote)
    _models.command()(promote)
    _models.command("ask")(ask_models)
    app.command()(rollback)
    app.command()(gc)
    register_targets(_models)


@_models.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """Every model, newest first; the champion is marked."""
    if context.invoked_subcommand is not None:
        return
    home = open_home()
    with home.store.read() as session:
        champion, entries = champion_id(session), list_models(session)
    table = Table("", whole("model"), "kind", "verdict", "made at", "size")
    for one in entries:
        size = f"{one.form.size_bytes / 1e6:.1f} MB" if one.form and not one.form.collected_at else "no file"
        mark = "*" if one.model.id == champion else ""
        verdict = (one.model.verdict or "") + (" tainted" if one.model.tainted_at else "")
        table.add_row(mark, one.model.id, one.model.kind, verdict, f"{one.model.created_at:%Y-%m-%d %H:%M}", size)
    print_table(table)
    if any(one.model.tainted_at for one in entries):
        console.print(promotion.TAINTED, soft_wrap=True)
    say_targets(home)
    _say_watch(home)


def _say_watch(home: Home) -> None:
    with home.store.read() as session:
        row = watch.latest_watch(session)
    if row is not None:
        said = "it does worse than the weeks before" if row.alarm_at else "nothing speaks against the champion so far"
        console.print(f"Watch: {said}: {watch.sentence(row)}", markup=False, soft_wrap=True)


def ask_models(
    questions: Annotated[list[str], typer.Argument(help="what to ask; several are asked one after the other")],
    model: Annotated[
        list[str] | None, typer.Option(help="whom to ask; else the origin, the champion and the newest candidate")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="how long an answer may be", min=1, max=2048)] = 128,
) -> None:
    """Ask models the same questions, before and after: greedy answers, on this machine; nothing is kept."""
    home = open_home()
    with home.store.read() as session:
        asked = whom_to_ask(session, model or ())
    if not asked:
        raise NotFound("there is no model to ask yet: `perennial base add` or `perennial origin` makes the first one")
    answers = []
    for one in asked:
        if one.model.form is None:
            raise NotFound(f"the model {one.model.model.id} has no file to ask")
        answers.append(ask(home.settings.home, one.model.form, questions, max_tokens))
    for place, question in enumerate(questions):
        console.print(f"? {question}", markup=False, soft_wrap=True)
        for one, said in zip(asked, answers, strict=True):
            name = f"{one.model.model.id} ({one.role})" if one.role else one.model.model.id
            console.print(f"  {name}: {said[place]}", markup=False, soft_wrap=True)


def why(
    model_id: Annotated[str, typer.Argument(help="the model's id, from `perennial models`")],
    user: Annotated[
        str | None,
        typer.Option(help="-: a user whose id is asked for, or read from standard input; without it, the largest ones"),
    ] = None,
    app: Annotated[str, typer.Option(help="the app that the user belongs to")] = DEFAULT_APP,
    top: Annotated[int, typer.Option(help="how many people to list", min=1)] = 20,
) -> None:
    """What a user contributed to a model and those it was trained on, or the people who contributed the most."""
    home = open_home()
    if user is None:
        _ranking(contributions.most_influential(home.store, model_id, top), model_id)
    else:
        _contribution(contributions.contribution(home.store, home.vault, model_id, app, read_user(user)), model_id)


def promote(
    model_id: Annotated[str, typer.Argument(help="the model's id, from `perennial models`")],
    override_reason: Annotated[
        str | None, typer.Option(help="why to promote against the rules; it is recorded")
    ] = None,
) -> None:
    """Make a model the champion; refused unless its gate passed."""
    home = open_home()
    row = promotion.promote(home.store, home.settings, model_id, whoami(), override_reason)
    console.print(f"{row.model_id} is the champion (before: {row.previous_id or 'none'})")
    bring_to_targets(home)


def rollback(
    override_reason: Annotated[
        str | None, typer.Option(help="why to go back to a tainted model; it is recorded")
    ] = None,
) -> None:
    """Make the champion before the present one champion again."""
    home = open_home()
    row = promotion.rollback(home.store, home.settings, whoami(), override_reason)
    console.print(f"{row.model_id} is the champion again (before: {row.previous_id})")
    bring_to_targets(home)


def gc(
    keep: Annotated[int, typer.Option(help="how many of the newest GGUFs stay")] = 3,
    dry_run: Annotated[bool, typer.Option(help="only say what would go")] = False,
) -> None:
    """Delete the files of old models; the champion stays, the one before, and adapters that learned from nobody erased."""
    home = open_home()
    gone = collect(home.store, home.settings, keep, dry_run, by=whoami())
    for one in gone:
        console.print(
            f"{'would delete' if dry_run else 'deleted'} {one.path} ({one.size_bytes / 1e6:.1f} MB): {one.reason}"
        )
    console.print(f"{sum(one.size_bytes for one in gone) / 1e6:.1f} MB in {len(gone)} files")


def _ranking(people: list[Influence], model_id: str) -> None:
    if not people:
        console.print(f"{model_id} has learned from nobody: no round made it")
        return
    table = Table(whole("person"), "tokens", "share", "feedback weight", "share")
    for one in people:
        shares = f"{one.token_share:.1%}", f"{one.weight_share:.1%}"
        table.add_row(one.person, str(one.tokens), shares[0], f"{one.weight:.1f}", shares[1])
    print_table(table)


def _contribution(found: Contribution, model_id: str) -> None:
    if not found.conversations and not found.feedback:
        console.print(f"person {found.person} contributed nothing to {model_id}")
        return
    console.print(
        f"person {found.person}: {found.token_share:.1%} of the tokens, {found.weight_share:.1%} of the feedback"
    )
    for use in found.conversations:
        tokens = f", {use.tokens} tokens" if use.outcome == "used" else ""
        what = f"{use.conversations} conversations {use.outcome} ({_worded(use.reason, CONVERSATION_REASONS)}){tokens}"
        console.print(f"round {use.round_id}: {what}", markup=False)
    for one in found.feedback:
        what = f"{one.count} {one.kind}s {one.outcome} ({_worded(one.rule, FEEDBACK_REASONS)}), weight {one.weight:.2f}"
        console.print(f"round {one.round_id}: {what}", markup=False)


def _worded(reason: str, words: Mapping[str, str]) -> str:
    """A reason with its sentence; one of another version stands alone."""
    return f"{reason}: {words[reason]}" if reason in words else reason
