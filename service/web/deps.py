"""What routes ask for, as named types.

The functions are async only because FastAPI sends every other kind through a thread pool, which costs more than they do.
"""

from typing import Annotated

from fastapi import Depends, Request

from service.api_keys import KeyRing
from service.ingest import Writer
from service.settings import Settings
from service.store.session import Store
from service.vault import Vault
from service.web.vitals import Vitals


async def get_settings(request: Request) -> Settings:
    """The settings of this process."""
    found: Settings = request.app.state.settings
    return found


async def get_store(request: Request) -> Store:
    """The store of this process."""
    found: Store = request.app.state.store
    return found


async def get_vault(request: Request) -> Vault:
    """The vault of this process."""
    found: Vault = request.app.state.vault
    return found


async def get_writer(request: Request) -> Writer:
    """The writer of this process."""
    found: Writer = request.app.state.writer
    return found


async def get_vitals(request: Request) -> Vitals:
    """The looks at the state of this process."""
    found: Vitals = request.app.state.vitals
    return found


async def get_keys(request: Request) -> KeyRing:
    """The API keys that count."""
    found: KeyRing = request.app.state.keys
    return found


SettingsDep = Annotated[Settings, Depends(get_settings)]
StoreDep = Annotated[Store, Depends(get_store)]
VaultDep = Annotated[Vault, Depends(get_vault)]
WriterDep = Annotated[Writer, Depends(get_writer)]
VitalsDep = Annotated[Vitals, Depends(get_vitals)]
KeysDep = Annotated[KeyRing, Depends(get_keys)]
