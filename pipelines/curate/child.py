"""A curator in a process of its own, which can be killed when a text hangs it.

    python -m pipelines.curate.child        JSON lines in, JSON lines out, in order:
    > {"allow_degraded_names": true}                                    the configuration, once
    < {"ready": true}                                                   or {"error": "...", "kind": "InputError"}
    > {"conversation": {...}, "secret": "ab12...", "key": "cd34..."}    bytes in hex
    < {"kind": "clean" | "rejected" | "quarantined", "result": {...}}

Nothing of a text is logged or written anywhere else; the process ends when its input does.
"""

import json
import sys
from typing import IO, Any

from pipelines.curate.config import CurationConfig
from pipelines.errors import PerennialError
from pipelines.records import Conversation

KINDS = {"CleanConversation": "clean", "Rejected": "rejected", "Quarantined": "quarantined"}
# Presidio imports these when it can (eight seconds); only a configured model needs them.
_HEAVY = ("torch", "transformers", "stanza", "gliner")


def main() -> None:
    """Serves jobs from standard input until it closes."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not disturb the answers
    try:
        config = CurationConfig.model_validate_json(sys.stdin.readline())
        curator = _curator(config)
    except (PerennialError, ValueError) as error:
        _answer(answers, {"error": str(error), "kind": type(error).__name__})
        return
    _answer(answers, {"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        conversation = Conversation.model_validate(job["conversation"])
        result = curator.curate(conversation, bytes.fromhex(job["secret"]), bytes.fromhex(job["key"]))
        _answer(answers, {"kind": KINDS[type(result).__name__], "result": result.model_dump(mode="json")})


def _curator(config: CurationConfig) -> Any:
    if config.ner_model is None:
        for module in _HEAVY:
            sys.modules.setdefault(module, None)  # type: ignore[arg-type]  # documented way to make an import fail
    from pipelines.curate.curate import Curator

    return Curator(config)


def _answer(answers: IO[str], record: dict[str, Any]) -> None:
    answers.write(json.dumps(record, ensure_ascii=True) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
