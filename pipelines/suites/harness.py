"""A served form as lm-evaluation-harness sees it.

The harness's own `gguf` model is off by one token without a BOS token, so its log-likelihoods are wrong for Qwen2.
Importing this module takes seconds: it belongs in a child process.
"""

from collections.abc import Callable, Sequence

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from pipelines.gguf.scorer import GGUFScorer
from pipelines.suites.asked import AskedModel


class ServedModel(LM):  # type: ignore[misc]
    """Scores requests of the harness; `scored` is called after each item.

    The choices of one question share their context, so a question answered by one letter costs one forward.
    """

    def __init__(self, scorer: GGUFScorer, scored: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._asked, self._scorer, self._scored = AskedModel(scorer), scorer, scored

    @property
    def tokenizer_name(self) -> str:
        """A name for the harness's cache of rendered requests."""
        return "gguf"

    def apply_chat_template(self, chat_history: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The chat as a prompt under the GGUF's own template; a final assistant turn is left open to be continued."""
        return self._asked.render(chat_history, generate=add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The GGUF's own template; tasks cannot choose another."""
        return self._asked.template

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Per request the log-probability of the continuation, nats, and whether it is the greedy one."""
        results = []
        for request in requests:
            context, continuation = request.args
            results.append(self._scorer.loglikelihood(*self._asked.split(context, continuation)))
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
        answers: dict[int, str] = {}
        for place, answer in self._asked.write_each([request.args for request in requests]):
            answers[place] = answer
            self._scored()
        return [answers[place] for place in range(len(requests))]
