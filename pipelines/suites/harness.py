"""A served form as lm-evaluation-harness sees it.

The harness's own `gguf` model is off by one token without a BOS token, so its log-likelihoods are wrong for Qwen2.
Importing this module takes seconds: it belongs in a child process.
"""

from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from pipelines import chat
from pipelines.errors import SuiteError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.suites.prompts import template_of

DEFAULT_ANSWER_TOKENS = 256


class ServedModel(LM):  # type: ignore[misc]
    """Scores requests of the harness one by one; `scored` is called after each with the item's request.

    The choices of one question share their context, so a question answered by one letter costs one forward.
    """

    def __init__(self, scorer: GGUFScorer, scored: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._scorer = scorer
        self._scored = scored
        self._template = template_of(scorer)
        self._context = ""
        self._context_ids: list[int] = []

    @property
    def tokenizer_name(self) -> str:
        """A name for the harness's cache of rendered requests."""
        return "gguf"

    def apply_chat_template(self, chat_history: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The chat as a prompt under the GGUF's own template; a final assistant turn is left open to be continued."""
        if add_generation_prompt:
            return chat.render(self._template, chat_history, escape=self._scorer.escape, generate=True)
        opened = chat.render(self._template, chat_history[:-1], escape=self._scorer.escape, generate=True)
        return opened + self._scorer.escape(chat_history[-1]["content"])

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The GGUF's own template; tasks cannot choose another."""
        return self._template

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Per request the log-probability of the continuation, nats, and whether it is the greedy one."""
        results = []
        for request in requests:
            context, continuation = request.args
            results.append(self._scorer.loglikelihood(*self._split(context, continuation)))
            if request.idx == 0:
                self._scored()
        return results

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """Per request the log-probability of the whole text, nats, in windows that do not overlap."""
        results = []
        for request in requests:
            ids = self._scorer.tokenize(self._scorer.escape(request.args[0]))
            windows = get_rolling_token_windows(ids, self._scorer.end_token, self._scorer.max_length - 1, 1)
            pairs = map(make_disjoint_window, windows)
            results.append(sum(self._scorer.loglikelihood(context, rest)[0] for context, rest in pairs))
            self._scored()
        return results

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Per request the greedy answer, cut at the task's stop texts."""
        return [self._generate(*request.args) for request in requests]

    def _generate(self, context: str, settings: dict[str, Any]) -> str:
        if settings.get("do_sample") or settings.get("temperature", 0.0) > 0:
            raise SuiteError("suites are scored with greedy answers: set do_sample: false and temperature: 0.0")
        until = settings.get("until", [])
        stop = [until] if isinstance(until, str) else list(until)
        limit = int(settings.get("max_gen_toks", DEFAULT_ANSWER_TOKENS))
        answer = self._scorer.generate(self._scorer.tokenize(context), limit, stop)
        self._scored()
        return answer

    def _split(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Token ids of context and continuation, joined as the tokenizer would join them where it keeps the border."""
        continuation = self._scorer.escape(continuation)
        if context != self._context:
            self._context, self._context_ids = context, self._scorer.tokenize(context)
        joined = self._scorer.tokenize(context + continuation)
        border = len(self._context_ids)
        if joined[:border] == self._context_ids and len(joined) > border:
            return self._context_ids, joined[border:]
        return self._context_ids, self._scorer.tokenize(continuation)
