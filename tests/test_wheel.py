"""What `pip install` brings: a Perennial that can make its database, and nothing of the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
MIGRATE = """
import service.store.session as session
from service.settings import load_settings
session.migrate(load_settings())
print(session.scripts_folder())
"""


CLIENT = """
import sys
import perennial.client
print(perennial.client.__file__)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "service", "pipelines", "pydantic", "sqlmodel"}))
"""


def build(folder: Path, out: Path) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    [wheel] = out.glob("*.whl")
    return zipfile.ZipFile(wheel)


def test_the_clients_wheel_is_small_typed_and_needs_httpx_alone(tmp_path: Path) -> None:
    with build(PROJECT / "client", tmp_path) as archive:
        names = archive.namelist()
        metadata = archive.read("perennial-0.1.0.dist-info/METADATA").decode()
        archive.extractall(tmp_path / "installed")
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"perennial"}
    assert "perennial/py.typed" in names
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
        "Requires-Dist: httpx<1,>=0.27"
    ]
    [wheel] = tmp_path.glob("perennial-*.whl")
    assert wheel.stat().st_size < 100_000
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    place, heavy = done.stdout.split("\n")[:2]
    assert place.startswith(str(tmp_path / "installed")) and heavy == "[]"


def test_a_wheel_holds_the_migrations_and_makes_a_database(tmp_path: Path) -> None:
    with build(PROJECT, tmp_path) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    home = tmp_path / "home"
    environment = {"PATH": os.environ["PATH"], "PERENNIAL_HOME": str(home), "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", MIGRATE], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(tmp_path / "installed" / "service" / "store" / "migrations")
    assert (home / "perennial.db").is_file()
    tops = {name.split("/")[0].partition("-")[0] for name in names}
    assert tops == {"service", "pipelines", "perennial_service"}
    assert {path.name for path in (PROJECT / "alembic" / "versions").glob("*.py")} <= {
        Path(name).name for name in names
    }
