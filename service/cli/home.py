"""What most commands need first: settings, an up-to-date database, the vault, a console."""

import getpass
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from service.obstacles import NOTHING, Obstacle
from service.settings import Settings, load_settings
from service.store.session import Store, migrate, open_store
from service.vault import Vault, open_vault

console = Console(highlight=False)


@dataclass(frozen=True)
class Home:
    """What a command works with: settings, an up-to-date database, and the vault."""

    settings: Settings
    store: Store
    vault: Vault


def open_home() -> Home:
    """The home that the environment names, its database migrated."""
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    migrate(settings)
    store = open_store(settings)
    return Home(settings, store, open_vault(settings, store))


def whoami() -> str:
    """Who gives the command, for the audit."""
    return f"cli:{getpass.getuser()}"


def show_obstacles(found: Sequence[Obstacle]) -> None:
    """Say what stops the wheel, each with its cure, or that nothing does."""
    if not found:
        console.print(NOTHING)
        return
    console.print("What stops you:")
    for one in found:
        console.print(f"  - {one.sentence}.\n    {one.cure}.", markup=False, soft_wrap=True)
