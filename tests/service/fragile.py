"""A curation process that dies, for tests; light to import, because it is started again and again."""

import os
from collections.abc import Callable
from typing import Any


def open_fragile(_config: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A child that dies of one word, or of every text."""

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        text = job["conversation"]["messages"][0]["content"]
        if text == "die" or _config["max_messages"] == 1:
            os._exit(3)
        return {"kind": "rejected", "record": {"id": job["conversation"]["id"], "rule": "no_answer", "detail": ""}}

    return answer
