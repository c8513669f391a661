"""Lifts a weak finding when a word that explains it stands nearby; Presidio's own needs tokens from an NLP model."""

from collections.abc import Sequence
from typing import Any

from presidio_analyzer import EntityRecognizer, RecognizerResult
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer

BEFORE_CHARACTERS = 48
AFTER_CHARACTERS = 24
LIFT = 0.4


class WindowContext(ContextAwareEnhancer):  # type: ignore[misc]
    """Adds LIFT to a result whose recognizer's context words occur within the window around it."""

    def __init__(self) -> None:
        super().__init__(LIFT, 0.4, 5, 0)

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: Any,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        """The results, raised where a word that names them stands near."""
        words = {recognizer.id: recognizer.context or [] for recognizer in recognizers}
        key = RecognizerResult.RECOGNIZER_IDENTIFIER_KEY
        for result in raw_results:
            if result.score < 0.5 and _explained(text, result, words.get(result.recognition_metadata[key], [])):
                result.score = min(1.0, result.score + LIFT)
        return raw_results


def _explained(text: str, result: RecognizerResult, words: Sequence[str]) -> bool:
    before = text[max(0, result.start - BEFORE_CHARACTERS) : result.start]
    after = text[result.end : result.end + AFTER_CHARACTERS]
    near = f"{before} {after}".lower()
    return any(word.lower() in near for word in words)
