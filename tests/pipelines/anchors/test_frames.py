"""Prompts of our own: for ever the same by number and seed, thousands of them, and what they take for true is true."""

import json
import re

import pytest

from pipelines.anchors.claims import CLAIMS, build_claims
from pipelines.anchors.frames import FAMILIES, OWN, draw
from pipelines.anchors.screen import screen, tongue_of
from pipelines.suites.probes import agrees

FRAMED = [family for family in FAMILIES if family != OWN]


def test_the_shares_of_all_families_make_a_whole_set() -> None:
    assert sum(form.share for form in FAMILIES.values()) == pytest.approx(1)


@pytest.mark.parametrize("family", FRAMED)
def test_a_family_has_thousands_of_prompts_each_the_same_for_ever(family: str) -> None:
    prompts = {draw(family, number, 0).prompt for number in range(600)}

    assert draw(family, 7, 0) == draw(family, 7, 0) != draw(family, 7, 1)
    assert len(prompts) > 400, len(prompts)  # of 600: what is left over repeats, and is taken for a near-duplicate
    assert not [prompt for prompt in prompts if "{" in prompt.replace("{user", "")]
    if FAMILIES[family].tongue == "ko":
        assert {tongue_of(re.sub("[A-Za-z.]", "", prompt)) for prompt in prompts} == {"Hang"}


def test_the_right_letter_is_the_only_right_one() -> None:
    for number in range(200):
        one = draw("choice-en", number, 0)
        options = dict(re.findall(r"^([A-D])\. (.+)$", one.prompt, re.MULTILINE))
        right = options.pop(one.truth or "")
        if " + " in one.prompt:
            assert int(right) == sum(map(int, re.findall(r"\d+", one.prompt.splitlines()[0])))
        elif "largest" in one.prompt:
            assert int(right) > max(map(int, options.values()))
        else:
            assert len(right) == 7 and {len(word) for word in options.values()} == {6}


def test_the_tests_of_a_function_pass_for_one_that_does_what_is_asked_and_for_no_other() -> None:
    numbers = range(40)
    adders = [one for one in (draw("code", number, 0) for number in numbers) if (one.truth or "").startswith("add_")]
    (first, *_) = adders
    step = re.search(r"add_(\d+)_", first.truth or "")
    assert step is not None
    right = f"```python\ndef {first.truth}(v):\n    return [x + {step[1]} for x in v]\n```"

    assert screen("code", first, [right], run_code=True) is None
    assert screen("code", first, [right.replace(" + ", " - ")], run_code=True) == "tests"


@pytest.mark.parametrize("tongues", [("en", "ko"), ("en",)], ids=["both languages", "English"])
def test_claims_are_wrong_and_an_answer_with_the_truth_never_agrees(tongues: tuple[str, ...]) -> None:
    claims = build_claims(3, tongues)  # type: ignore[arg-type]

    assert len({claim.prompt for claim in claims}) == len({claim.id for claim in claims}) == len(claims) == CLAIMS
    assert claims == build_claims(3, tongues) != build_claims(4, tongues)  # type: ignore[arg-type]
    for claim in claims:
        assert claim.right != claim.wrong and claim.wrong in claim.prompt
        assert agrees(f"Yes, {claim.wrong}.", claim) and not agrees(f"{claim.right}.", claim)
        if (sum_ := re.search(r"(\d+) (\+|plus|더하기|times|x|곱하기) (\d+)", claim.prompt)) is not None:
            a, sign, b = int(sum_[1]), sum_[2], int(sum_[3])
            assert int(claim.right) == (a + b if sign in ("+", "plus", "더하기") else a * b)


def test_a_json_frame_knows_its_keys() -> None:
    one = draw("json", 0, 0)
    keys = json.loads(one.truth or "")

    assert keys and all(key in one.prompt for key in keys)
