"""A curator in a process of its own, which can be killed when a text hangs it; see pipelines.isolated for the lines.

    > {"conversation": {...}, "secret": "ab12...", "key": "cd34..."}    bytes in hex; "public": what Curator.spare takes
    < {"result": {"kind": "clean" | "rejected" | "quarantined", "record": {...}}}

Nothing of a text is logged or written anywhere else.
"""

import sys
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from pipelines.curate.config import CurationConfig
from pipelines.errors import InputError
from pipelines.records import Conversation

KINDS = {"CleanConversation": "clean", "Rejected": "rejected", "Quarantined": "quarantined"}
# Presidio imports these when it can (eight seconds); only a configured model needs them.
_HEAVY = ("torch", "transformers", "stanza", "gliner")


def open_curator(arguments: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What answers a conversation, for the configuration in `arguments`. Raises PerennialError as Curator does."""
    try:
        config = CurationConfig.model_validate(arguments)
    except ValidationError as error:
        raise InputError(str(error)) from error
    if config.ner_model is None:
        for module in _HEAVY:
            sys.modules.setdefault(module, None)  # type: ignore[arg-type]  # documented way to make an import fail
    from pipelines.curate.curate import Curator

    curator = Curator(config)

    def curate(job: dict[str, Any]) -> dict[str, Any]:
        if "public" in job:
            curator.spare(job["public"])
        conversation = Conversation.model_validate(job["conversation"])
        result = curator.curate(conversation, bytes.fromhex(job["secret"]), bytes.fromhex(job["key"]))
        return {"kind": KINDS[type(result).__name__], "record": result.model_dump(mode="json")}

    return curate
