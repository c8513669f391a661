"""A served form as scorers ask it: an item under the chat template, its likely continuation, its greedy answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines import chat
from pipelines.errors import SuiteError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.writing import Prompt
from pipelines.suites.load import Item
from pipelines.suites.prompts import template_of

DEFAULT_ANSWER_TOKENS = 256


class AskedModel:
    """One loaded model; a context that calls repeat is computed once, answers are written several at a time."""

    def __init__(self, scorer: GGUFScorer) -> None:
        self.scorer, self.template = scorer, template_of(scorer)
        self._context, self._context_ids = "", list[int]()

    def render(self, messages: Sequence[Mapping[str, str]], generate: bool = True) -> str:
        """The chat as a prompt; without `generate` its last turn, an assistant's, is left open to be continued."""
        if generate:
            return chat.render(self.template, messages, escape=self.scorer.escape, generate=True)
        opened = chat.render(self.template, messages[:-1], escape=self.scorer.escape, generate=True)
        return opened + self.scorer.escape(messages[-1]["content"])

    def split(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Token ids of context and continuation, joined as the tokenizer would join them where it keeps the border."""
        continuation = self.scorer.escape(continuation)
        if context != self._context:
            self._context, self._context_ids = context, self.scorer.tokenize(context)
        joined = self.scorer.tokenize(context + continuation)
        border = len(self._context_ids)
        if joined[:border] == self._context_ids and len(joined) > border:
            return self._context_ids, joined[border:]
        return self._context_ids, self.scorer.tokenize(continuation)

    def likelihood(self, item: Item, continuation: str) -> float:
        """The log-probability in nats of an answer to an item that begins so."""
        return self.scorer.loglikelihood(*self.split(self._prompt(item), continuation))[0]

    def answer_each(self, items: Sequence[Item], settings: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        """The place of an item and the greedy answer to it, each when it is written; what is prefilled is no part of it.

        `settings` are the task's `generation_kwargs`.
        """
        return self.write_each([(self._prompt(item), settings) for item in items])

    def write_each(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[int, str]]:
        """The place of a rendered prompt and its greedy continuation, each when it is written.

        Cut at the stop texts, and where the model reads no further; empty where the prompt alone is more than it reads.
        Raises SuiteError if the task asks for sampling.
        """
        prompts = [self._limited(prompt, settings) for prompt, settings in asked]
        places = [place for place, prompt in enumerate(prompts) if prompt.max_tokens > 0]
        yield from ((place, "") for place, prompt in enumerate(prompts) if prompt.max_tokens < 1)
        for number, written in self.scorer.write_each([prompts[place] for place in places]):
            yield places[number], written.text

    def _limited(self, prompt: str, settings: Mapping[str, Any]) -> Prompt:
        if settings.get("do_sample") or settings.get("temperature", 0.0) > 0:
            raise SuiteError("suites are scored with greedy answers: set do_sample: false and temperature: 0.0")
        until = settings.get("until", [])
        stop = [until] if isinstance(until, str) else list(until)
        limit = int(settings.get("max_gen_toks", DEFAULT_ANSWER_TOKENS))
        ids = self.scorer.tokenize(prompt)
        return Prompt(ids, min(limit, self.scorer.max_length - len(ids)), stop)

    def _prompt(self, item: Item) -> str:
        asked = [*(item.fields.get("before") or ()), {"role": "user", "content": item.question}]
        prefill = str(item.fields.get("prefill") or "")
        return (
            self.render([*asked, {"role": "assistant", "content": prefill}], generate=False)
            if prefill
            else self.render(asked)
        )
