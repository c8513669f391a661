"""The chat template that a GGUF carries."""

import json
import re

from pipelines.chat import without_generation_markers
from pipelines.tokenizer import ChatFormat


def served_template(form: ChatFormat) -> str | None:
    """The template that a GGUF carries: no generation markers, and the token names it uses defined inside.

    Training renders with `eos_token` and its like as variables; readers of a GGUF pass others or none.
    """
    if form.template is None:
        return None
    used = {name: text for name, text in form.named.items() if re.search(rf"\b{name}\b", form.template)}
    lines = "".join(f"{{%- set {name} = {json.dumps(text)} -%}}" for name, text in used.items())
    return lines + without_generation_markers(form.template)
