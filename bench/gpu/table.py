"""The parts in the order of what they are worth, each with its time limit in seconds."""

import importlib
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple


class Part(NamedTuple):
    """`function` is "module:name" within bench.gpu and gives figures, `passed` among them where it can fail."""

    function: str
    seconds: int


PARTS: Mapping[str, Part] = {
    "machine": Part("machine:describe", 60),
    "same_losses": Part("correctness:same_losses", 120),
    "nf4": Part("correctness:nf4", 60),
    "isolated_rows": Part("correctness:isolated_rows", 90),
    "preferences": Part("correctness:preferences", 120),
    "resume": Part("correctness:resume", 120),
    "kl_rows": Part("memory:kl_rows", 90),
    "out_of_memory": Part("memory:out_of_memory", 90),
    "qlora_7b": Part("speed:qlora_7b", 150),
    "lora_7b": Part("speed:lora_7b", 150),
    "qlora_32b": Part("speed:qlora_32b", 150),
    "profile": Part("profile:profile_7b", 90),
}


def measure(arguments: dict[str, Any]) -> dict[str, Any]:
    """What a part measured; one that raised an error gives its first line, and the rest goes to the log."""
    module, _, name = PARTS[arguments["part"]].function.partition(":")
    print(f"--- {arguments['part']}", flush=True)
    try:
        figures: dict[str, Any] = getattr(importlib.import_module(f"bench.gpu.{module}"), name)()
    except Exception as error:  # whatever it is, the other parts go on
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        return {"passed": False, "error": f"{type(error).__name__}: {lines[0][:300]}"}
    return {"passed": True} | figures
