"""Commands that run: up, serve, worker, engine, demo."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from service.cli.home import console, open_home
from service.logs import set_up_logging
from service.settings import load_settings

_PARTS = ("serve", "worker", "engine")
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 15.0


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(up)
    app.command()(serve)
    app.command()(worker)
    app.command()(engine)
    app.command()(demo)


def up(
    until_stdin_closes: Annotated[bool, typer.Option(hidden=True, help="end when whoever started this ends")] = False,
) -> None:
    """Run everything on this machine: web, worker and engine. Ctrl-C stops them."""
    home = open_home()
    home.store.close()
    children = {part: _start(part) for part in _PARTS}
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if until_stdin_closes:
        # read below Python's buffers: a thread that holds their lock breaks the interpreter's shutdown
        threading.Thread(target=lambda: stop(os.read(sys.stdin.fileno(), 1)), daemon=True).start()
    console.print(f"Perennial is up: http://{home.settings.host}:{home.settings.port}  (home {home.settings.home})")
    failures = dict.fromkeys(_PARTS, 0)
    while not stopping:
        time.sleep(0.2)
        for part, child in children.items():
            if child.poll() is None or stopping:
                continue
            failures[part] += 1
            if part == "serve" and failures[part] >= 3:
                stopping = True
                continue
            console.print(f"{part} ended with status {child.returncode}; starting it again")
            time.sleep(min(30.0, _RESTART_SECONDS * failures[part]))
            children[part] = _start(part)
    _stop(children)
    if failures["serve"] >= 3:
        raise typer.Exit(1)


def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on; beyond 127.0.0.1 needs an API key")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on")] = None,
) -> None:
    """Run the web process: API and pages."""
    from service.web import server

    settings = load_settings()
    server.serve(settings, host or settings.host, port or settings.port)


def worker(once: Annotated[bool, typer.Option(help="do what is due now, then end")] = False) -> None:
    """Curate what came in, and run the rounds that were asked for."""
    from service.rounds.worker import run_worker

    set_up_logging()
    home = open_home()
    run_worker(home.settings, once=once)


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


def _start(part: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "service.cli", part], stdin=subprocess.DEVNULL)


def _stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for child in children.values():
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for child in children.values():
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
