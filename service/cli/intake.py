"""`perennial import`: conversations and feedback from the files of other programs."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import InputError
from pipelines.feedback.reasons import CONVERSATION_REASONS
from service.cli.dry_run import read_all, rehearse
from service.cli.home import Home, console, open_home, whoami
from service.cli.maps import INIT, map_formats, write_guess
from service.cli.user_ids import FROM_INPUT, read_user, refuse_typed_key
from service.ingest import DEFAULT_APP
from service.ingest.importers.counts import Counts
from service.ingest.importers.items import EACH, Options
from service.ingest.importers.post import direct_post, http_post
from service.ingest.importers.reading import Work, find_work
from service.ingest.importers.ready import Terms, hide_addresses, parse_rating
from service.ingest.importers.reasons import REASONS
from service.ingest.importers.run import import_work, scratch_folder
from service.ingest.importers.table import FORMATS, AnyFormat, find_format
from service.ingest.importers.thumbs import read_thumbs
from service.progress import open_progress
from service.store import audit

_KINDS = ("conversations", "votes", "corrections", "comparisons")
_SHOWN_FILES = 5
_QUESTION = (
    "May models learn from what the people in it wrote, where it does not say? Answer yes only if they agreed to that"
)


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command("import")(import_path)


def import_path(
    path: Annotated[Path, typer.Argument(help="a file, a folder, a ZIP archive or a SQLite file")],
    format: Annotated[str | None, typer.Option(help="what it is, where looking at it is not enough")] = None,
    map: Annotated[
        str | None, typer.Option(help="a YAML file that says what an app's own tables mean; init writes a first guess")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="store nothing; show what would come in")] = False,
    app: Annotated[str | None, typer.Option(help="the app of conversations that name none")] = None,
    user: Annotated[
        str | None,
        typer.Option(
            help="whose they are where the file names nobody: each (one person a conversation), or - (asked for)"
        ),
    ] = None,
    consent: Annotated[
        bool | None, typer.Option("--consent/--no-consent", help="may models learn from those that do not say?")
    ] = None,
    rating: Annotated[str | None, typer.Option(help="how those without a rating are rated: 1 to 5, up or down")] = None,
    answers: Annotated[str, typer.Option(help="learn, or context: nothing is learned from the answers")] = "learn",
    score: Annotated[
        list[str] | None, typer.Option(help="the name of a score that is a thumb; may be repeated")
    ] = None,
    up: Annotated[list[str] | None, typer.Option(help="a value of it that points up: 1, good, '>=4'")] = None,
    down: Annotated[list[str] | None, typer.Option(help="one that points down; without it all others do")] = None,
    rejects: Annotated[Path | None, typer.Option(help="where to write what was refused")] = None,
    url: Annotated[str | None, typer.Option(help="send to a running service instead of the database")] = None,
    key: Annotated[
        str | None,
        typer.Option(envvar="API_KEY", callback=refuse_typed_key, help="API key for --url, from the environment only"),
    ] = None,
) -> None:
    """Import chats and feedback; run it again after an interruption and it goes on where it stopped.

    The same file again changes nothing; with --consent or --rating it adds them to what is stored already.
    """
    rated = None if rating is None else parse_rating(rating)
    if answers not in ("learn", "context"):
        raise InputError(f"--answers {answers[:40]!r} is neither learn nor context")
    thumbs = read_thumbs(score or (), up or (), down or ())
    home = open_home()
    scratch = scratch_folder(home.settings.home)
    if map == INIT:
        console.print(f"written: {write_guess(path, scratch)}; read it and correct it", markup=False, soft_wrap=True)
        return
    work = find_work(path, _formats(format, map), scratch, is_named=format is not None)
    _show_work(work)
    person = user if user in (None, EACH) else read_user(user)
    options = Options(app or DEFAULT_APP, person, thumbs)
    terms = Terms(consent, rated, app, answers == "learn")
    if dry_run:
        seen = read_all(home, work, options, terms, path.name)
        console.print("Nothing is stored. This would come in:")
        show_counts(seen.counts, terms)
        rehearse(home, seen, terms)
        if not seen.counts.stands:
            raise InputError("nothing in it would come in; why stands above")
        return
    if consent is None and _should_ask(work, user):
        terms = Terms(typer.confirm(_QUESTION, default=False) or None, rated, app, answers == "learn")
    counts, file = _store(home, path, work, options, terms, url, key, rejects)
    _end(counts, file, terms)


def _formats(format: str | None, map: str | None) -> Sequence[AnyFormat]:
    """What the files may be.

    Raises:
        InputError: there is no such format, the map is none, or both were named.
    """
    if map is not None and format is not None:
        raise InputError("--format and --map say two things of one file: leave one out")
    return map_formats(map) if map is not None else FORMATS if format is None else (find_format(format),)


def _should_ask(work: Work, user: str | None) -> bool:
    """Whether somebody sits there who can be asked, and something in the files says nothing of consent."""
    says = all(part.format.name == "perennial" for part in work.parts)
    return sys.stdin.isatty() and sys.stdout.isatty() and not says and user != FROM_INPUT


def _store(
    home: Home,
    path: Path,
    work: Work,
    options: Options,
    terms: Terms,
    url: str | None,
    key: str | None,
    rejects: Path | None,
) -> tuple[Counts, Path]:
    with ExitStack() as stack:
        post = stack.enter_context(direct_post(home.store, home.vault) if url is None else http_post(url, key))
        shown = stack.enter_context(open_progress(console, in_bytes=True))
        name = hide_addresses(path.name.encode(errors="replace").decode())
        found = import_work(
            path,
            work,
            post,
            home.settings.home,
            options,
            terms,
            target=url or home.settings.database_url,
            rejects=rejects,
            progress=lambda done, total, rate: shown.update(name, done, total, f"{rate:,.0f} a second"),
        )
    if url is None:
        with home.store.begin() as session:
            detail = {"consent": terms.consent, **found[0].results}
            audit.record(session, whoami(), "import", ",".join(part.format.name for part in work.parts), detail)
    return found


def _show_work(work: Work) -> None:
    for part in work.parts:
        files = f" ({len(part.files)} files)" if len(part.files) > 1 else ""
        console.print(f"{part.format.title}{files}", markup=False, soft_wrap=True)
    for name, refusal in work.unread[:_SHOWN_FILES]:
        console.print(f"not read: {hide_addresses(name)}: {refusal.sentence}", markup=False, soft_wrap=True)
    if len(work.unread) > _SHOWN_FILES:
        console.print(f"... and {len(work.unread) - _SHOWN_FILES} more files")


def _end(counts: Counts, file: Path, terms: Terms) -> None:
    """What became of everything.

    Raises:
        InputError: nothing at all came in.
        Exit: with status 1 where something was refused.
    """
    show_counts(counts, terms)
    if terms.consent:
        console.print(
            "Consent was given by you (--consent) for all that do not say; the audit log has it.", soft_wrap=True
        )
    if sum(counts.refused.values()):
        console.print(f"Each of these, with its place and a sentence: {file}", markup=False, soft_wrap=True)
    if not counts.stands:
        raise InputError("nothing in it came in; why stands above")
    if counts.refused:
        raise typer.Exit(1)


def show_counts(counts: Counts, terms: Terms) -> None:
    """What came in, what did not and why, what was left out, and what no round can learn from."""
    for place, sentence in counts.problems:
        console.print(f"{hide_addresses(place)}: {sentence}", markup=False, soft_wrap=True)
    refused = sum(counts.refused.values())
    if refused > len(counts.problems):
        console.print(f"... and {refused - len(counts.problems)} more")
    for kind in _KINDS:
        if results := counts.results.get(kind):
            console.print(f"{kind}: " + ", ".join(f"{n} {name}" for name, n in results.items()), soft_wrap=True)
    if counts.of("conversations", "unchanged") and (terms.consent is not None or terms.rating is not None):
        console.print("Unchanged are the messages; consent and ratings count as given now.", soft_wrap=True)
    _show_reasons(f"{refused} did not come in:", counts.refused, REASONS)
    _show_reasons("left out of what came in:", counts.left_out, REASONS)
    cannot = sum(counts.cannot_train.values())
    if _show_reasons(
        f"{cannot} conversations cannot train as the file gives them:", counts.cannot_train, CONVERSATION_REASONS
    ):
        console.print("Consent and ratings are added by importing again with --consent or --rating.", soft_wrap=True)
    if "unrated" in counts.cannot_train and set(counts.results) - {"conversations"}:
        console.print(
            "Unrated are chats that hold no rating themselves: votes and corrections that came beside them are not counted "
            "there (`perennial plan` counts all).",
            soft_wrap=True,
        )


def _show_reasons(title: str, counts: dict[str, int], sentences: Mapping[str, str]) -> bool:
    if not counts:
        return False
    console.print(title, soft_wrap=True)
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        console.print(f"  {count} {name}: {sentences.get(name, '')}", markup=False, soft_wrap=True)
    return True
