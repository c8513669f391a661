"""The reasons in words: why a conversation is where it is, and what became of a piece of feedback.

Reports, pages and files read these two tables. What a rule rejects is worded where the rule stands; here are the words
for the rest, which no single rule decides.
"""

from collections.abc import Mapping

from pipelines.feedback.lesson import REPLACED, UNTAUGHT
from pipelines.feedback.rated_answers import RULES as NAMING_RULES
from pipelines.feedback.rated_answers import UNFIT
from pipelines.feedback.select import RULES as SELECTION_RULES
from pipelines.feedback.weigh import RULES as WEIGHING_RULES

# Where a conversation goes that no rule rejects: its part.
PARTS: Mapping[str, str] = {
    "train": "used for training",
    "dev": "kept apart to choose settings",
    "heldout": "kept apart to measure the result",
}
# What the mixture has no place for.
MIXTURE: Mapping[str, str] = {
    "no_trained_token": "no good answer fits into the recipe's max_tokens",
    "over_round_budget": "its month already fills its part of the recipe's max_tokens_per_round",
    "over_replay_share": "its month already fills its part of the recipe's replay share",
}
# Feedback that stands and never came before a round's rules: nothing that it is about was among the candidates.
# Whoever knows what stands (Corpus.lost) says so of each piece, so that a round's counts cover all of it.
LOST: Mapping[str, str] = {
    "message_unknown": "no stored message has the id that it names",
    "not_curated_yet": "its conversation still waited for curation; it counts in a later round",
    "conversation_rejected": "curation refused its conversation",
    "conversation_quarantined": "its conversation could not be checked for personal information",
    "correction_refused": "curation refused the correction, or the one that it is about",
    "replaced": "the correction that it is about was replaced or taken back by its writer",
}
# What feedback was used as, or held out as; `rating` by SFT, the others by preferences.
SOURCES: Mapping[str, str] = {
    "siblings": "a pair of two answers to one prompt, one voted up and one down",
    "comparison": "a pair of two answers that a rater compared",
    "correction": "a pair of a correction and what it corrects",
    "near_prompt": "a pair of an up and a down on prompts that ask for the same",
    "lone": "a good or a bad answer without a counterpart",
    "resample": "a pair of a checked new answer and one voted down",
    "rating": "it helped to decide which answers SFT learns",
}
# What the steps of pair building (pipelines/feedback/pair_builder.py) find of several pieces together.
PAIRING: Mapping[str, str] = {
    "cannot_be_rendered": "the base model's chat template cannot render the answer it speaks for behind its prompt",
    "answer_replaced": f"the answer it speaks for {REPLACED.sentence}",
    "too_long": "the answer it speaks for and its prompt are longer than training reads (train.max_tokens)",
    "same_text": "both answers say the same",
    "tied": "as much speaks for the answer as against it",
    "outvoted": "more speaks for the contrary",
    "duplicate": "newer feedback on the same prompt and answers says the same",
    "superseded": "a newer correction or answer to the same prompt says otherwise",
    "contaminated": "repeats an item of the recipe's suites",
    "overlaps_train": "kept apart, but its prompt also stands in training",
}
# What the round's method does not read (pipelines/feedback/method.py).
UNREAD: Mapping[str, str] = {
    "pairs_only": "only pairs are read by the method that this round chose",
    "no_preference_stage": "this round learns no preferences, and SFT does not learn the answer that it speaks for",
}

CONVERSATION_REASONS: Mapping[str, str] = {**PARTS, **{rule.name: rule.sentence for rule in SELECTION_RULES}, **MIXTURE}
FEEDBACK_REASONS: Mapping[str, str] = {
    **LOST,
    **{rule.name: rule.sentence for rule in WEIGHING_RULES},
    **{rule.name: rule.sentence for rule in NAMING_RULES},
    **{flaw.name: f"the answer it speaks for {flaw.sentence}" for flaw in (*UNTAUGHT, *UNFIT)},
    **PAIRING,
    **UNREAD,
    **SOURCES,
}
