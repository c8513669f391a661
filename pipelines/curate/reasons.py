"""Curation's reasons and results in words: why a conversation was rejected, why one could not be checked, what changed.

in_words("too_long")                      -> "it is longer than curation reads"
in_words("unreadable:RecursionError")     -> "something stored of it cannot be read: damaged, or nested too deeply"
"""

from collections.abc import Mapping

from pipelines.records import Record


class Altered(Record):
    """Of the answers of clean conversations: how many curation changed, and how many of those teach nothing since."""

    answers: int = 0
    changed: int = 0
    replaced: int = 0

    @property
    def sentence(self) -> str:
        """The counts, as plan, report and pages say them."""
        return (
            f"{self.changed} of {self.answers} answers were changed by anonymization: the words that stand for others "
            f"get no loss, and {self.replaced} of them get none at all, since what was asked about or answered was replaced"
        )


REJECTED: Mapping[str, str] = {
    "no_messages": "there is no message in it",
    "too_many_messages": "it has more messages than curation reads",
    "too_long": "it is longer than curation reads",
    "not_text": "a message holds binary data",
    "empty_message": "a message has nothing to see",
    "broken_tree": "its messages do not hang together",
    "role_order": "a message stands where its role cannot",
    "no_answer": "there is no answer to a user in it",
    "too_much_personal_data": "it names more people and numbers than a chat does: a list, not a talk",
    "personal_data_left": "something personal was still to be seen after it had been replaced",
    "gibberish": "it is not made of words",
    "repetition": "most of somebody's text repeats itself",
    "discarded": "it could not be checked, and a reviewer discarded it",
}
# What stands before a colon; behind it stands the kind of error.
QUARANTINED: Mapping[str, str] = {
    "detection_timeout": "looking for personal data took longer than it may",
    "over_budget": "curation took longer than it may",
    "worker_timeout": "curation took longer than it may",
    "unreadable": "something stored of it cannot be read: damaged, or nested too deeply",
    "key_gone": "the key of its person is not there, and the person was not forgotten",
    "curation_failed": "curation failed on it",
    "worker_crashed": "the process of curation crashed on it",
    "not_stored": "its result could not be stored",
}


def in_words(reason: str) -> str:
    """Why curation rejected or quarantined a conversation; empty for a reason that an earlier version gave."""
    return REJECTED.get(reason) or QUARANTINED.get(reason.partition(":")[0], "")
