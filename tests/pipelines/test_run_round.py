"""A whole round through the spine on a random model of two layers: what is run, what is found again, what is run anew."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from pipelines.anchors.sets import LANGUAGE
from pipelines.artifacts import Attempt, Manifest, read_manifest
from pipelines.context import RoundContext, RoundResult
from pipelines.recipe_file import parse_recipe
from pipelines.records import Body, FeedbackFate, MessageKey
from pipelines.records import RatedConversation as Conversation
from pipelines.round import run_round
from pipelines.stages import STAGES
from tests.anchor_sets import adopt_shipped_set
from tests.pipelines.conftest import training_here
from tests.pipelines.feedback_rows import asked, down, up

DATA = Path(__file__).resolve().parents[2] / "data"
NAMES = [stage.name for stage in STAGES]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
RECIPE = """
name: small
base: {{model: {base}}}
anchors: data/general
select: {{min_satisfaction: 1}}
mixture: {{user: 0.7, general: 0.2, coding: 0.1}}
train: {{method: lora, epochs: 1, batch: {{per_device: 2, accumulate: 2}}, lora: {{r: 2, alpha: 4}}, max_tokens: 192,
        precision: float32, early_stopping: null, backend: cpu}}
preference: {{method: kto, epochs: 1, batch: {{per_device: 4, accumulate: 1}}, anchors: 0.2, probes: 2, learning_rate: 1.0e-5}}
evaluate: {{suites: [tiny_kmmlu, heldout, language], items: 200, heldout: 4, dev_items: 4}}
gates: [{{suite: tiny_kmmlu, margin: {{champion: 3.0, origin: 3.0}}, floor: 0.0}}]
export: {{quantize: F16, scales: [0.5, 1.0], max_kld: 1}}
"""


class Texts:
    """A corpus over a list of conversations."""

    def __init__(self, chats: Sequence[Conversation]) -> None:
        self._chats = chats

    def candidates(self) -> Iterator[Conversation]:
        return iter(self._chats)

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, Body]:
        return {m.key: Body(content=m.text) for one in self._chats for m in one.messages if m.key in set(keys)}

    def outcomes(self) -> Mapping[str, int]:
        return {}

    def lost(self) -> Sequence[FeedbackFate]:
        return ()


class Runs:
    """A journal of which stages ended, and which of them ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.seen: list[str] = []

    def started(self, stage: str) -> None:
        pass

    def finished(self, stage: str, manifest: Manifest, *, ran: bool) -> None:
        self.seen.append(stage)
        self.ran += [stage] if ran else []


def chats() -> list[Conversation]:
    train = [
        asked(f"t{n}", f"Where is Vell {n}?", (f"North, {n}.", up(f"u{n}")), (f"South {n}.", down(f"u{n}")))
        for n in range(6)
    ]
    dev = [asked(f"d{n}", f"Where is Orm {n}?", ("East.", up("x")), part="dev") for n in range(2)]
    held = [
        asked(f"h{n}", f"Where is Tal {n}?", ("West.", up("x")), ("No.", down("x")), part="heldout") for n in range(3)
    ]
    return [*train, *dev, *held]


class Round:
    """A project with one round in it; `first` is how it went."""

    def __init__(self, project: Path, base: Path) -> None:
        self.project, self.base = project, base
        self.first: tuple[RoundResult, Runs]

    def turn(self, fence: int = 1) -> tuple[RoundResult, Runs]:
        recipe = parse_recipe(RECIPE.format(base=self.base), "small")
        home = self.project / "var"
        context = RoundContext(project=self.project, models=home / "models", scores=home / "scores", anchors=home)
        attempt, journal = Attempt(home / "attempt-1", fence, lambda: None), Runs()
        return run_round(recipe, attempt, Texts(chats()), context, journal), journal


@pytest.fixture(scope="module", autouse=True)
def trains_here() -> Iterator[None]:
    """A round whose stages train in children of their own is the demo's (tests/acceptance)."""
    with training_here():
        yield


@pytest.fixture(scope="module")
def turned(trains_here: None, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Round:
    """A round that went to its end."""
    project = tmp_path_factory.mktemp("round")
    shutil.copytree(DATA / "suites", project / "data" / "suites")
    anchors = adopt_shipped_set(project / "data" / "general", tiny_base)
    for path in anchors.glob("*.jsonl"):
        kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[: 4 if path.name == LANGUAGE else 400]
        path.write_text("".join(kept), encoding="utf-8")
    one = Round(project, tiny_base)
    one.first = one.turn()
    return one


@pytest.fixture
def killed(turned: Round, tmp_path: Path) -> Round:
    """The same, killed before its gate, in a home that was moved meanwhile."""
    shutil.copytree(turned.project, tmp_path / "moved")
    for name in ("gate", "report"):
        shutil.rmtree(tmp_path / "moved" / "var" / "attempt-1" / name)
    return Round(tmp_path / "moved", turned.base)


def test_a_round_runs_every_stage_in_order_and_finds_them_all_again(turned: Round) -> None:
    result, journal = turned.first

    assert journal.ran == journal.seen == NAMES
    assert result.verdict is not None and result.candidate is not None
    assert result.candidate.scale in (0.5, 1.0) and Path(result.candidate.path).is_file()
    preferred = read_manifest(turned.project / "var" / "attempt-1" / "prefer")
    assert preferred is not None and preferred.output["trained"] is not None
    assert result.adapter == str(turned.project / "var" / "attempt-1" / "prefer" / "adapter")

    again, later = turned.turn(fence=2)

    assert (later.ran, later.seen) == ([], NAMES) and again == result


def test_a_suite_edited_between_a_kill_and_a_resume_is_measured_anew_and_trained_on_nowhere(killed: Round) -> None:
    pool = killed.project / "data" / "general" / "general.jsonl"
    anchor = json.loads(pool.read_text(encoding="utf-8").splitlines()[0])
    gate = killed.project / "data" / "suites" / "tiny_kmmlu" / "gate.jsonl"
    lines = gate.read_text(encoding="utf-8").splitlines()
    pasted = json.loads(lines[0]) | {"prompt": anchor["turns"][0]["content"]}
    gate.write_text("\n".join([json.dumps(pasted), *lines[1:]]) + "\n", encoding="utf-8")

    _, journal = killed.turn(fence=2)

    assert {"snapshot", "mix", "evaluate", "gate", "report"} <= set(journal.ran)
    mixed = read_manifest(killed.project / "var" / "attempt-1" / "mix")
    assert mixed is not None and mixed.output["contaminated_anchors"]["general"] >= 1


def test_prompts_of_the_language_guard_are_measured_anew_and_nothing_is_trained_again(killed: Round) -> None:
    prompts = killed.project / "data" / "general" / LANGUAGE
    prompts.write_text("".join(prompts.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")

    _, journal = killed.turn(fence=2)

    assert "evaluate" in journal.ran and not {"snapshot", "mix", "train", "prefer"} & set(journal.ran)
