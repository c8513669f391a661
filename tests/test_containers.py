"""The image and its services: commands that exist, files that are copied, nobody is root, secrets are files."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pipelines.errors import InputError
from service.cli import app
from service.settings import Settings, load_settings

PROJECT = Path(__file__).resolve().parents[1]
DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / name).read_text(encoding="utf-8"))
    return found


def ours() -> dict[str, Any]:
    return {name: one for name, one in compose()["services"].items() if name != "db"}


def test_every_command_of_the_services_exists_and_every_service_says_whether_it_is_well() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    asked = [one["command"][0] for one in ours().values()]
    health = [one["healthcheck"]["test"] for one in ours().values() if "test" in one["healthcheck"]]
    assert {*asked, "health"} <= commands and len(health) == 3
    assert {tuple(test[:3]) for test in health} == {("CMD", "perennial", "health")}
    assert re.search(r'HEALTHCHECK .*CMD \["perennial", "health", "web"\]', DOCKERFILE)
    assert compose()["services"]["db"]["healthcheck"]["test"]


def test_secrets_are_files_and_no_password_stands_in_an_environment() -> None:
    whole = compose()
    assert set(whole["secrets"]) == {"db_password", "database_url"}
    for one in whole["services"].values():
        named = {path.rpartition("/")[2] for name, path in one["environment"].items() if name.endswith("_FILE")}
        assert named == set(one["secrets"])
        assert not [
            name for name in one["environment"] if re.search("PASSWORD|URL|KEY", name) and not name.endswith("_FILE")
        ]
    assert "secrets" in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "secrets/" in (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_nobody_is_root_and_nothing_is_gained() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in last and "build-essential" not in last
    for one in ours().values():
        assert one["cap_drop"] == ["ALL"] and one["security_opt"] == ["no-new-privileges:true"]


def test_what_the_image_copies_is_there_and_volumes_are_declared() -> None:
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert copied and all((PROJECT / name).exists() for name in copied)
    mounted = {re.sub(r"\$\{\w+:-(\w+)\}", r"\1", one).partition(":")[0] for one in ours()["web"]["volumes"]}
    assert mounted <= set(compose()["volumes"]) and {"recipes", "suites", "models"} <= mounted


def test_the_services_on_a_gpu_are_services() -> None:
    assert set(compose("docker-compose.gpu.yml")["services"]) <= set(ours())


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://x/y\n")
    given = {"PERENNIAL_HOME": str(tmp_path), "PERENNIAL_DATABASE_URL_FILE": str(tmp_path / "url")}
    settings: Settings = load_settings(given)
    assert settings.database_url == "postgresql://x/y"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"PERENNIAL_MASTER_KEY_FILE": "/nowhere"}, "cannot be read"),
        ({"PERENNIAL_MASTER_KEY_FILE": "/nowhere", "PERENNIAL_MASTER_KEY": "x"}, "are both set"),
        ({"PERENNIAL_MASTER_KEY_FILE": "/dev/null"}, "is empty"),
        ({"PERENNIAL_PORT_FILE": "/dev/null"}, "unknown setting PERENNIAL_PORT_FILE"),
    ],
    ids=["missing", "twice", "empty", "no secret"],
)
def test_a_secret_that_cannot_be_read_is_refused(tmp_path: Path, more: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_settings({"PERENNIAL_HOME": str(tmp_path), **more})
