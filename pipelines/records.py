"""The typed records that pass between service and pipelines, and between stages."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

from pydantic import field_validator

from pipelines.turns import Body, FeedbackSource, Message, MessageExtras, Record, Review, Role, State, ToolCall, Turn

__all__ = ["Body", "FeedbackSource", "Message", "MessageExtras", "Record", "Role", "State", "ToolCall", "Turn"]

Part = Literal["train", "dev", "heldout"]
Source = Literal["new", "replay", "general", "coding", "reasoning"]
Outcome = Literal["used", "held_out", "left_out"]


# ---- curation: raw in, clean out -------------------------------------------------------------------------


class Conversation(Record):
    """A tree of raw messages, parents before children, with what the client hinted.

    `tools` is a JSON list of the tools that the model could call, each {"name", "description", "parameters"}.
    """

    id: str
    messages: tuple[Message, ...]
    language: str | None = None
    topic: str | None = None
    tools: str = ""


class Features(Record):
    """What curation measured on one clean message (shares are of letters, 0 to 1).

    `surrogates` are the places where something else stood; an answer is `replaced` if it no longer says what was said.
    """

    characters: int
    words: int
    scripts: Mapping[str, float]
    mixing: float
    zlib_ratio: float | None
    bigram_score: float | None
    entities: Mapping[str, int]
    surrogates: tuple[tuple[int, int], ...] = ()
    replaced: bool = False


class CleanMessage(MessageExtras):
    """A message as curation left it, with what it measured.

    `masked` are words of its reasoning and tool calls that stand for others; those of its text are in the features.
    """

    id: str
    role: Role
    parent: str | None
    text: str
    features: Features
    masked: tuple[str, ...] = ()


class Signature(Record):
    """What clustering needs of one text: an exact keyed hash and, for longer texts, MinHash with bands.

    `exact` is 16 bytes hex, `former` what an earlier version made of the text; `minhash` 128 unsigned 32-bit values (short
    texts have none); `bands` 16 signed 64-bit hashes; `content_words` keyed hashes of words that carry content.
    """

    exact: str
    former: str = ""
    minhash: tuple[int, ...] = ()
    bands: tuple[int, ...] = ()
    content_words: tuple[str, ...] = ()


class CleanConversation(Record):
    """The result of curation. `prompt` covers the user turns, `pair` those and the answers; `names`: see public_names."""

    id: str
    messages: tuple[CleanMessage, ...]
    language: str
    topic: str
    prompt: Signature
    pair: Signature
    names: tuple[str, ...] = ()


class Rejected(Record):
    """Curation's refusal: the rule's name and a detail without raw text."""

    id: str
    rule: str
    detail: str


class Quarantined(Record):
    """What could not be checked (time-out, crash): never passed on."""

    id: str
    reason: str


Curated = CleanConversation | Rejected | Quarantined


# ---- selection: clean and rated in, examples out ---------------------------------------------------------


class MessageKey(Record):
    """Names one revision of one clean message; never its text."""

    message: str
    revision: int


class Rating(Record):
    """One rater's vote on one message, as it stands: 1 up, -1 down. `since` is when the account was first seen."""

    rater: str
    value: Literal[1, -1]
    at: datetime
    since: datetime
    source: FeedbackSource = "person"


class Correction(Record):
    """Says of a message that a person wrote it in place of the answer `of` (a message id).

    One that does not count (pipelines.feedback.weigh) is learnt from by nothing, though its message stays in the tree.
    """

    of: str
    rater: str
    at: datetime
    since: datetime
    counts: bool = True
    source: FeedbackSource = "person"


class Comparison(Record):
    """A rater prefers one stored answer to another on the same prompt; both are message ids of one conversation."""

    chosen: str
    rejected: str
    rater: str
    at: datetime
    since: datetime
    source: FeedbackSource = "person"


class RatedMessage(MessageExtras):
    """A clean message with its ratings as they stand; `up` and `down` count them.

    `corrects` is set on a correction, which stands beside what it corrects, under the same parent; `served_by` names the
    model of ours that wrote an answer.
    """

    key: MessageKey
    role: Role
    parent: str | None
    text: str
    up: int = 0
    down: int = 0
    mixing: float = 0.0
    voted_at: datetime | None = None
    state: State = "complete"
    ratings: tuple[Rating, ...] = ()
    corrects: Correction | None = None
    surrogates: tuple[str, ...] = ()
    replaced: bool = False
    served_by: str = ""

    @property
    def said(self) -> str:
        """All that others read of it: its text, and the tools that it calls."""
        return "\n".join([self.text, *(f"{call.name}({call.arguments})" for call in self.tool_calls)])

    def turn(self, trained: bool = False) -> "Turn":
        """The turn that this message is."""
        return Turn(role=self.role, content=self.text, trained=trained, masked=self.surrogates, **self.extras)


class RatedConversation(Record):
    """One clean conversation as the snapshot sees it; `part` and clusters are permanent, `review` "" without one."""

    conversation: str
    person: str
    app: str
    occurred_at: datetime
    consent: bool | None
    satisfaction: int | None
    language: str
    topic: str
    prompt_cluster: str
    pair_cluster: str
    part: Part
    seen: bool
    messages: tuple[RatedMessage, ...]
    comparisons: tuple[Comparison, ...] = ()
    review: Review = ""


class Example(Record):
    """A training record with its text; lives in memory and in scratch only."""

    id: str
    source: Source
    turns: tuple[Turn, ...]


class TurnKey(Record):
    """An example's turn without its text: which clean message, and whether it gets loss."""

    key: MessageKey
    role: Role
    trained: bool


class SnapshotItem(Record):
    """What the snapshot decided about one record; ids and numbers only. `served_by` wrote its last trained answer.

    `written` are trained tokens that others than its person wrote, as corrections, by writer; `stratum` is language/topic.
    """

    conversation: str
    person: str
    outcome: Outcome
    reason: str
    part: Part | None = None
    source: Source | None = None
    month: str = ""
    tokens: int = 0
    turns: tuple[TurnKey, ...] = ()
    digest: str = ""
    written: Mapping[str, int] = {}
    stratum: str = ""
    served_by: str = ""


# ---- preferences: votes, corrections and comparisons in, pairs and labelled answers out ------------------

PreferenceSource = Literal["siblings", "comparison", "correction", "near_prompt", "resample", "lone"]
FeedbackKind = Literal["vote", "correction", "comparison"]
FeedbackOutcome = Literal["used", "held_out", "dropped"]


class PreferenceItem(Record):
    """What the snapshot made of feedback, as keys: a pair (chosen over rejected) or one labelled answer.

    A labelled answer has only `chosen` (good) or only `rejected` (bad). `prompt` are the turns before the answer, none
    trained. `conversations` and `raters` are everybody whose text or feedback it rests on; `weight` is at most 1.
    """

    id: str
    kind: Literal["pair", "labelled"]
    source: PreferenceSource
    part: Part
    conversations: tuple[str, ...]
    raters: tuple[str, ...]
    topic: str
    month: str
    prompt: tuple[TurnKey, ...]
    chosen: MessageKey | None
    rejected: MessageKey | None
    weight: float = 1.0

    @property
    def good(self) -> bool:
        """Of a labelled answer: whether it is to be made likelier."""
        return self.chosen is not None


class PreferenceExample(Record):
    """A preference item with its text; lives in memory and in scratch only. Words that are `masked` in an answer do not count."""

    id: str
    kind: Literal["pair", "labelled"]
    source: PreferenceSource
    topic: str
    prompt: tuple[Turn, ...]
    chosen: Turn | None
    rejected: Turn | None
    weight: float = 1.0

    @field_validator("chosen", "rejected", mode="before")
    @classmethod
    def _as_turn(cls, value: object) -> object:
        """A text alone is an answer that is nothing else."""
        return Turn(role="assistant", content=value, trained=True) if isinstance(value, str) else value

    @property
    def answers(self) -> tuple[Turn, ...]:
        """The answers that are there, the chosen one first."""
        return tuple(answer for answer in (self.chosen, self.rejected) if answer is not None)


class FeedbackFate(Record):
    """What became of one vote, correction or comparison in one round: no thumb disappears without a reason.

    `message` is the rated (corrected, preferred) message, `other` the second one that feedback names: the correction
    itself, or the answer not preferred; empty for a vote. `rule` is the source it was used in, or why it was dropped.
    """

    conversation: str
    message: str
    rater: str
    kind: FeedbackKind
    value: Literal[1, -1]
    outcome: FeedbackOutcome
    rule: str
    weight: float = 1.0
    other: str = ""


class Corpus(Protocol):
    """Where stages get text from. The service implements it over SQL and the vault; tests over a list."""

    def candidates(self) -> Iterator[RatedConversation]:
        """Every curated conversation, in one consistent read, oldest first."""
        ...

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, Body]:
        """What these message revisions say; raises Cancelled if a person was erased meanwhile."""
        ...

    def outcomes(self) -> Mapping[str, int]:
        """Counts of the conversations that never became clean, by rule: the funnel's first half."""
        ...

    def lost(self) -> Sequence[FeedbackFate]:
        """Feedback that stands and is on nothing in `candidates`, dropped by a rule of pipelines/feedback/reasons.py each.

        Of the moment of the last `candidates` read to their end; what names nothing stored has no conversation and message.
        """
        ...


class ServedForm(Record):
    """The exact bytes that are gated and served: a merged GGUF, or a base GGUF with an adapter GGUF."""

    kind: Literal["merged", "adapter"]
    path: str
    sha256: str
    adapter_path: str | None = None
    adapter_sha256: str | None = None
    scale: float = 1.0
    quantization: str = "Q4_K_M"
