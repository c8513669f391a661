"""Commands that run: up, serve, worker, engine, origin, demo."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import httpx
import typer
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import InputError, PerennialError
from service.api_keys import check_listen
from service.cli.home import Home, console, only_up, open_home, show_obstacles, whoami
from service.cli.names import settle_names
from service.cli.parts import Parts, start, stop
from service.engine.state import engine_view
from service.logs import set_up_logging
from service.models.origin import make_first_champion
from service.obstacles import find_obstacles
from service.proxy.upstream import check_upstream
from service.settings import Settings, load_settings, make_home
from service.store import models
from service.users import needs_sign_in
from service.web.listen import open_sockets

_LOOK_SECONDS = 0.2
_START_SECONDS = 30.0


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(up)
    app.command()(serve)
    app.command()(proxy)
    app.command()(worker)
    app.command()(engine)
    app.command()(origin)
    app.command()(demo)


def up(
    names: Annotated[
        str | None, typer.Option(help="how people's names are found: rules, a model (docs/operating.md), or later")
    ] = None,
    until_stdin_closes: Annotated[bool, typer.Option(hidden=True, help="end when whoever started this ends")] = False,
) -> None:
    """Run everything on this machine: web, worker and engine. Ctrl-C stops them."""
    settings = load_settings()
    make_home(settings.home)
    with only_up(settings.home):
        settle_names(settings, names, console)
        home = open_home()
        try:
            _run_parts(home, until_stdin_closes)
        finally:
            home.store.close()


def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on; beyond 127.0.0.1 needs an API key")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on", min=1, max=65535)] = None,
    sockets: Annotated[str | None, typer.Option(hidden=True, help="open sockets that `up` hands down")] = None,
) -> None:
    """Run the web process: API and pages."""
    from service.web import server
    from service.web.listen import adopt_sockets

    settings = load_settings()
    inherited = None if sockets is None else adopt_sockets(sockets)
    server.serve(settings, host or settings.host, port or settings.port, inherited)


def proxy(
    upstream: Annotated[
        str | None, typer.Option(help="the model's server, e.g. http://127.0.0.1:11434/v1; else PERENNIAL_UPSTREAM")
    ] = None,
    host: Annotated[str | None, typer.Option(help="address to listen on; beyond 127.0.0.1 needs an API key")] = None,
    port: Annotated[int, typer.Option(help="port to listen on", min=1, max=65535)] = 8601,
    consent: Annotated[
        bool | None, typer.Option("--consent/--no-consent", help="whether chats that do not say it may be learned from")
    ] = None,
) -> None:
    """Stand in front of a model that runs already: pass everything on, and record its chats."""
    from service.web import server

    settings = load_settings()
    settings = replace(
        settings,
        upstream=upstream or settings.upstream,
        proxy_consent=settings.proxy_consent if consent is None else consent,
    )
    if settings.upstream is None:
        raise InputError("say where the model is: perennial proxy --upstream http://127.0.0.1:11434/v1")
    address = replace(settings, host=host or settings.host, port=port).url
    told = f"Chats for {settings.upstream} pass here, base URL {address}/v1; they are recorded in {settings.home}"
    server.serve(settings, host or settings.host, port, is_front=True, ready=lambda: _say(told))


def worker(once: Annotated[bool, typer.Option(help="do what is due now, then end")] = False) -> None:
    """Curate what came in, and run the rounds that were asked for."""
    from service.rounds.worker import run_worker

    set_up_logging()
    home = open_home()
    run_worker(home.settings, once=once)


def origin() -> None:
    """Make the base of the settings' recipe the first champion, so that chat is answered before the first round."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that half an export is cleared away
    home = open_home()
    settings = home.settings
    console.print(
        f"Making the first champion from {settings.recipe}: chat is answered once it is there",
        markup=False,
        soft_wrap=True,
    )
    try:
        model = make_first_champion(settings, home.store, whoami())
    except PerennialError as error:
        console.print(f"The first champion could not be made: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    console.print(f"{model} is installed", markup=False, soft_wrap=True)


def engine() -> None:
    """Serve the champion: llama.cpp in its own supervised process."""
    from service.engine.supervisor import run_supervisor

    set_up_logging()
    home = open_home()
    run_supervisor(home.settings)


def demo(
    recipe: Annotated[Path, typer.Option(help="the recipe of the demo's round")] = Path("data/recipes/tiny.yaml"),
    exit: Annotated[
        bool, typer.Option("--exit", help="end with status 0 only if the round passed and learned")
    ] = False,
    home: Annotated[Path, typer.Option(help="the demo's own home; it is emptied first")] = Path("var/demo"),
    months: Annotated[int, typer.Option(min=1, max=2, help="1: end after month one, before the thumbs")] = 2,
) -> None:
    """Turn the wheel in front of you, in a fresh home under var/demo."""
    from service.demo.story import run_demo

    good = run_demo(recipe, stay=not exit, console=console, home=home, months=months)
    if not good:
        raise typer.Exit(1)


def _run_parts(home: Home, until_stdin_closes: bool) -> None:
    """Run web, worker and engine, and the making of the first champion, until told to stop."""
    settings = home.settings
    check_listen(settings.host, needs_sign_in(home.store))
    check_upstream(settings, settings.host, settings.port)
    sockets = open_sockets(settings.host, settings.port)
    numbers = [one.fileno() for one in sockets]
    commands = {
        "serve": ["serve", "--sockets", ",".join(map(str, numbers))],
        "worker": ["worker"],
        "engine": ["engine"],
    }
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if until_stdin_closes:
        threading.Thread(target=_wait_for_end, args=(stopping,), daemon=True).start()
    with Parts(commands, numbers, _say) as parts:
        making = None if _has_champion(home) else start(["origin"])
        try:
            _keep_running(home, parts, stopping)
        finally:
            stop([making] if making else [])


def _keep_running(home: Home, parts: Parts, stopping: threading.Event) -> None:
    """Start again what ends, until told to stop. Raises PerennialError if that helps no more."""
    is_up = answers = False
    patience = time.monotonic() + _START_SECONDS
    while not stopping.wait(_LOOK_SECONDS):
        parts.look(is_up)
        if not parts.is_at_work("serve") and _is_ready(home.settings):
            parts.mark_at_work("serve")
        is_up = is_up or _greet(home, parts, anyway=time.monotonic() > patience)
        answers = answers or (is_up and _say_who_answers(home))


def _is_ready(settings: Settings) -> bool:
    """Whether the web process answers, on the socket that is ours alone."""
    try:
        return httpx.get(f"{settings.url}/readyz", timeout=1.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _say(sentence: str) -> None:
    """Tell whoever is there; a full disk or a closed terminal is no reason to end."""
    with suppress(OSError):
        console.print(sentence, markup=False, soft_wrap=True)


def _greet(home: Home, parts: Parts, anyway: bool) -> bool:
    """Say where it is and what stops it, once the web process answers and a worker was seen, or without one `anyway`."""
    if not parts.is_at_work("serve"):
        return False
    try:
        found = find_obstacles(home.settings, home.store)
    except SQLAlchemyError:  # it is no reason to end the three processes
        return False
    if any(one.name == "worker_gone" for one in found) and not anyway:
        return False
    with suppress(OSError):
        _say(f"Perennial is up: {home.settings.url}  (home {home.settings.home})")
        if home.settings.upstream is not None:
            _say(f"Chats for {home.settings.upstream} pass at the base URL {home.settings.url}/proxy/v1")
        show_obstacles([one for one in found if one.name != "engine_gone"])  # it has been started a moment ago
    return True


def _say_who_answers(home: Home) -> bool:
    """Say which model answers chat, once the engine serves the champion."""
    try:
        with home.store.read() as session:
            view = engine_view(home.settings.home, models.champion_id(session))
    except SQLAlchemyError:
        return False
    if view.state != "serving":
        return False
    _say(f"Chat is answered by {view.model_id}")
    return True


def _has_champion(home: Home) -> bool:
    with home.store.read() as session:
        return models.champion_id(session) is not None


def _wait_for_end(stopping: threading.Event) -> None:
    """Read below Python's buffers: a thread that holds their lock breaks the interpreter's shutdown."""
    os.read(sys.stdin.fileno(), 1)
    stopping.set()
