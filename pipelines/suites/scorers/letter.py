"""Choice by letter: which of the letters that stand for the options the model would write next."""

from collections.abc import Callable

from pipelines.suites.load import Item

LETTERS = "ABCDEFGHIJ"


def score(item: Item, likelihood: Callable[[str], float]) -> float:
    """1 if the right letter is the likeliest of those that the item has options for, else 0; of equals the first."""
    letters = [str(letter) for letter in item.fields.get("letters") or LETTERS[: len(item.fields["choices"])]]
    return float(max(letters, key=likelihood) == item.answer)
