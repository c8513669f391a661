"""Why feedback that stands never came before a round's rules: nothing that it is about was among the candidates.

Whoever knows what stands (Corpus.lost) says so of each piece, so that a round's counts cover all of it.
"""

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "message_unknown": "no stored message has the id that it names",
    "not_curated_yet": "its conversation still waited for curation; it counts in a later round",
    "conversation_rejected": "curation refused its conversation",
    "conversation_quarantined": "its conversation could not be checked for personal information",
    "correction_refused": "curation refused the correction, or the one that it is about",
    "replaced": "the correction that it is about was replaced or taken back by its writer",
}
