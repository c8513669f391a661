"""Choice by the likelihood of the whole answer: which option the model would rather write, length set aside.

{"id": "...", "prompt": "Removing ice from car: Then, the man writes over the snow", "answer": "1",
 "choices": [", then the man adds wax.", ", then he scrapes the ice.", "...", "..."]}
"""

from collections.abc import Callable

from pipelines.suites.load import Item


def score(item: Item, likelihood: Callable[[str], float]) -> float:
    """1 if the right option has the highest log-probability per character, else 0; of equals the first.

    `answer` is the option's place, from 0. The harness calls this acc_norm.
    """
    choices = [str(choice) for choice in item.fields["choices"]]
    values = [likelihood(choice) / max(1, len(choice)) for choice in choices]
    return float(values.index(max(values)) == int(item.answer))
