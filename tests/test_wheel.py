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


def test_a_wheel_holds_the_migrations_and_makes_a_database(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
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
    assert tops == {"service", "pipelines", "perennial"}
    assert {path.name for path in (PROJECT / "alembic" / "versions").glob("*.py")} <= {
        Path(name).name for name in names
    }
