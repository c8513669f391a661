"""Commands that run: up, serve, worker, engine, origin, demo."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import httpx
import typer
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import Busy, PerennialError
from service.cli.home import Home, console, open_home, show_obstacles, whoami
from service.cli.names import settle_names
from service.engine.state import engine_view
from service.logs import set_up_logging
from service.models.origin import make_first_champion
from service.obstacles import check_port, find_obstacles
from service.settings import load_settings
from service.store import models

_PARTS = ("serve", "worker", "engine")
_LOOK_SECONDS = 0.2
_START_SECONDS = 30.0
_MAX_FAILURES = 3
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 15.0


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(up)
    app.command()(serve)
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
    settings = settle_names(load_settings(), names, console)
    _refuse_taken(settings.host, settings.port)
    home = open_home()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if until_stdin_closes:
        threading.Thread(target=_wait_for_end, args=(stopping,), daemon=True).start()
    children = {part: _start(part) for part in _PARTS}
    making = None if _has_champion(home) else _start("origin")
    try:
        healthy = _keep_running(home, children, stopping)
    finally:
        home.store.close()
        _stop([*children.values(), *([making] if making else [])])
    if not healthy:
        raise typer.Exit(1)


def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on; beyond 127.0.0.1 needs an API key")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on", min=1, max=65535)] = None,
) -> None:
    """Run the web process: API and pages."""
    from service.web import server

    settings = load_settings()
    host, port = host or settings.host, port or settings.port
    _refuse_taken(host, port)
    server.serve(settings, host, port)


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


def _refuse_taken(host: str, port: int) -> None:
    taken = check_port(host, port)
    if taken is not None:
        raise Busy(taken.line())


def _keep_running(home: Home, children: dict[str, subprocess.Popen[bytes]], stopping: threading.Event) -> bool:
    """Start again what ends, until told to stop; False if the web process cannot be kept running."""
    failures = dict.fromkeys(children, 0)
    greeted = answers = False
    patience = time.monotonic() + _START_SECONDS
    while not stopping.wait(_LOOK_SECONDS):
        greeted = greeted or _greet(home, anyway=time.monotonic() > patience)
        answers = answers or (greeted and _say_who_answers(home))
        for part, child in children.items():
            if child.poll() is None or stopping.is_set():
                continue
            failures[part] += 1
            if part == "serve" and failures[part] >= _MAX_FAILURES:
                return False
            console.print(f"{part} ended with status {child.returncode}; starting it again")
            stopping.wait(min(30.0, _RESTART_SECONDS * failures[part]))
            children[part] = _start(part)
    return True


def _greet(home: Home, anyway: bool) -> bool:
    """Say where it is and what stops it, once the web process answers and a worker was seen, or without one `anyway`."""
    try:
        told = httpx.get(f"{home.settings.url}/healthz", timeout=1.0, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return False
    seen = told["worker_seen_seconds_ago"]
    if (seen is None or seen > _START_SECONDS) and not anyway:
        return False
    try:
        found = find_obstacles(home.settings, home.store)
    except SQLAlchemyError:  # it is no reason to end the three processes
        return False
    console.print(f"Perennial is up: {home.settings.url}  (home {home.settings.home})", markup=False, soft_wrap=True)
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
    console.print(f"Chat is answered by {view.model_id}", markup=False, soft_wrap=True)
    return True


def _has_champion(home: Home) -> bool:
    with home.store.read() as session:
        return models.champion_id(session) is not None


def _wait_for_end(stopping: threading.Event) -> None:
    """Read below Python's buffers: a thread that holds their lock breaks the interpreter's shutdown."""
    os.read(sys.stdin.fileno(), 1)
    stopping.set()


def _start(part: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "service.cli", part], stdin=subprocess.DEVNULL)


def _stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
