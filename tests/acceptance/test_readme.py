"""The README's curl examples, run as they stand against a service of their own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.demo.processes import free_port
from tests.acceptance.conftest import PROJECT


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of `perennial serve` with an empty home."""
    home, chosen = tmp_path_factory.mktemp("readme"), free_port(0)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    environment = kept | {"PERENNIAL_HOME": str(home), "PERENNIAL_PORT": str(chosen)}
    with (home / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve"], cwd=PROJECT, env=environment, stderr=log, stdout=log
        )
        try:
            _wait(chosen, server, home / "serve.log")
            yield chosen
        finally:
            server.terminate()
            server.wait(90)


def test_every_curl_example_of_the_readme_succeeds(port: int) -> None:
    examples = curl_examples((PROJECT / "README.md").read_text(encoding="utf-8"))
    assert len(examples) >= 6
    for example in examples:
        command = example.replace("127.0.0.1:8600", f"127.0.0.1:{port}").replace(
            "curl -s", "curl -s --noproxy '*' -w '\\n%{http_code}'", 1
        )
        answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=180)
        body, _, status = answer.stdout.rpartition("\n")
        assert status.startswith("2"), f"{example}\n{status} {body} {answer.stderr}"


def curl_examples(text: str) -> list[str]:
    """The curl commands in the text's sh blocks, one each, lines joined as they stand."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [
        found.strip()
        for block in blocks
        for found in re.findall(r"^curl .*?(?=^curl|^#|^$|\Z)", block, flags=re.DOTALL | re.MULTILINE)
    ]


def _wait(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code < 500:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())
