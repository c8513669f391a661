"""One curator for all tests of a process: loading its rules takes two seconds of processor time, and it keeps nothing."""

from functools import lru_cache

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from service.curation import curate_due
from service.store.session import Store
from service.vault import Vault


@lru_cache(maxsize=1)
def shared_curator() -> Curator:
    """A curator that finds names by rules."""
    return Curator(CurationConfig(allow_degraded_names=True))


def curate_all(store: Store, vault: Vault) -> None:
    """Curates until nothing is due."""
    while curate_due(store, vault, shared_curator()):
        pass
