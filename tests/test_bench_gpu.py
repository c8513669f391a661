"""`python -m bench gpu` on shapes shrunk a hundredfold: every part gives figures, and a part that fails costs no other."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.gpu import run
from bench.gpu.correctness import isolated_rows, nf4
from bench.gpu.memory import kl_rows, out_of_memory
from bench.gpu.profile import profile_7b
from bench.gpu.speed import qlora_7b
from bench.gpu.table import PARTS, Part, measure


@pytest.mark.parametrize("part", [isolated_rows, nf4, kl_rows, out_of_memory], ids=lambda part: part.__name__)
def test_what_is_right_here_passes(part: Any) -> None:
    figures = part()
    assert figures["passed"], figures


def test_a_speed_counts_tokens_without_padding_of_ours_and_of_trl() -> None:
    figures = qlora_7b()
    assert figures["passed"], figures
    for name in ("rows of 4k", "rows of 8k", "plain trl"):
        speed = figures[name]
        assert speed["steps"] == 2
        assert 0 < speed["loss_tokens_per_second"] < speed["tokens_per_second"]
        assert speed["loss_tokens_per_second"] == pytest.approx(0.4 * speed["tokens_per_second"], rel=0.1)


def test_a_profile_shares_out_the_whole_time() -> None:
    shares = profile_7b()
    assert sum(shares[kind] for kind in ("attention", "head", "nf4", "rest")) == pytest.approx(1, abs=0.01)
    assert min(shares["attention"], shares["head"], shares["nf4"]) > 0


def test_a_part_that_fails_is_told_and_the_next_one_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setitem(PARTS, "broken", Part("machine:nobody", 60))  # type: ignore[arg-type]  # the table is a dict
    assert measure({"part": "broken"})["error"].startswith("AttributeError")
    result = run(["--parts", "resume,machine", "--seconds", "6"])
    assert not result["passed"]
    assert "error" in result["resume"]
    assert json.loads((tmp_path / "bench-gpu.json").read_text())["resume"] == result["resume"]


def test_an_unknown_part_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["--parts", "speed"])
    assert "no part is called 'speed'; there are machine, same_losses" in capsys.readouterr().err
