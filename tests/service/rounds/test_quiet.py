"""Rounds that run only at night, on power and cool, read from stand-ins for /sys/class and pmset."""

import stat
import threading
from contextlib import closing
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.recipe import Only
from service.rounds import requests
from service.rounds.quiet import Pause, Surroundings, is_hot, objection, on_power
from service.rounds.worker import run_worker
from service.settings import Settings
from service.store.session import open_store
from service.vault import open_vault
from tests.service.rounds.test_worker import RECIPE

BATTERY = "Now drawing from 'Battery Power'\n -InternalBattery-0 (id=4653155)\t62%; discharging; 3:12 remaining present: true\n"
MAINS = "Now drawing from 'AC Power'\n -InternalBattery-0 (id=4653155)\t100%; charged; 0:00 remaining present: true\n"
SLOWED = "Note: No thermal warning level has been recorded\n\tCPU_Scheduler_Limit \t= 100\n\tCPU_Speed_Limit \t= 62\n"


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def pmset(folder: Path, batt: str = MAINS, therm: str = "") -> Surroundings:
    """A machine whose `pmset -g batt` and `pmset -g therm` say this."""
    write(folder, batt=batt, therm=therm)
    program = folder / "pmset"
    program.write_text(f'#!/bin/sh\ncat "{folder}/$2"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Surroundings(sysfs=folder / "none", pmset=str(program))


@pytest.mark.parametrize(
    ("files", "powered"),
    [
        ({}, True),
        ({"BAT0__type": "Battery", "BAT0__status": "Discharging", "AC__type": "Mains", "AC__online": "0"}, False),
        ({"BAT0__type": "Battery", "BAT0__status": "Discharging", "AC__type": "Mains", "AC__online": "1"}, True),
        ({"BAT0__type": "Battery", "BAT0__status": "Full"}, True),
        ({"mouse__type": "Battery", "mouse__status": "Discharging", "mouse__scope": "Device"}, True),
    ],
    ids=["a desktop", "unplugged", "plugged in, still discharging", "full", "a mouse's battery"],
)
def test_power_is_read_on_linux(tmp_path: Path, files: dict[str, str], powered: bool) -> None:
    write(tmp_path / "power_supply", **files)
    assert on_power(Surroundings(sysfs=tmp_path, pmset=None)) is powered


@pytest.mark.parametrize(("temperature", "hot"), [("70000", False), ("96000", True), ("", False)])
def test_heat_is_read_on_linux(tmp_path: Path, temperature: str, hot: bool) -> None:
    zone = {"temp": temperature, "trip_point_0_type": "passive", "trip_point_0_temp": "95000"}
    write(tmp_path / "thermal" / "thermal_zone0", **zone, trip_point_1_type="active", trip_point_1_temp="40000")
    assert is_hot(Surroundings(sysfs=tmp_path, pmset=None)) is hot


def test_power_and_heat_are_read_on_a_mac(tmp_path: Path) -> None:
    assert on_power(pmset(tmp_path, MAINS)) and not on_power(pmset(tmp_path, BATTERY))
    assert is_hot(pmset(tmp_path, therm=SLOWED)) and not is_hot(pmset(tmp_path, therm=SLOWED.replace("62", "100")))


def test_a_pmset_that_cannot_be_asked_objects_to_nothing(tmp_path: Path) -> None:
    gone = Surroundings(pmset=str(tmp_path / "gone"))
    assert on_power(gone) and not is_hot(gone)


@pytest.mark.parametrize(
    ("hours", "moment", "within"),
    [
        ("22:00-07:00", time(23, 30), True),
        ("22:00-07:00", time(6, 59), True),
        ("22:00-07:00", time(7, 0), False),
        ("22:00-07:00", time(12, 0), False),
        ("01:00-05:30", time(5, 29), True),
        ("01:00-05:30", time(0, 59), False),
        (None, time(12, 0), True),
    ],
)
def test_hours_go_over_midnight(hours: str | None, moment: time, within: bool) -> None:
    assert Only(hours=hours).in_hours(moment) is within


@pytest.mark.parametrize("hours", ["22-7", "24:00-07:00", "at night", "22:00"])
def test_hours_that_are_none_are_refused(hours: str) -> None:
    with pytest.raises(ValidationError):
        Only(hours=hours)


def test_what_speaks_against_a_round_is_a_sentence(tmp_path: Path) -> None:
    day = Surroundings(sysfs=tmp_path, pmset=None, now=lambda: datetime(2026, 11, 3, 12, 0, tzinfo=UTC))
    assert objection(Only(hours="22:00-07:00"), day) == "it waits for its hours, 22:00-07:00 by this machine's clock"
    assert "runs on its battery" in str(objection(Only(power=True), pmset(tmp_path, BATTERY)))
    assert "cool down" in str(objection(Only(cool=True), pmset(tmp_path, therm=SLOWED)))
    assert objection(Only(power=True, cool=True), pmset(tmp_path)) is None and objection(None, day) is None


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_round_pauses_at_the_next_whole_checkpoint_of_its_training(tmp_path: Path) -> None:
    clock, checkpoints = Clock(), tmp_path / "attempt-1" / "train.3.tmp" / "checkpoints"
    write(checkpoints, **{"checkpoint-100__complete.json": "{}"})
    pause = Pause(Only(power=True), tmp_path, pmset(tmp_path / "mac", MAINS), clock)
    assert pause.due() is None
    pmset(tmp_path / "mac", BATTERY)  # the plug is pulled
    clock.seconds += 60
    assert pause.due() is None
    (checkpoints / "checkpoint-200").mkdir()  # being written: it does not count yet
    assert pause.due() is None
    write(checkpoints, **{"checkpoint-200__complete.json": "{}"})
    assert pause.due() == "it waits for power: this machine runs on its battery"


def test_a_checkpoint_is_not_waited_for_for_ever_nor_where_none_is_written(tmp_path: Path) -> None:
    clock, battery = Clock(), pmset(tmp_path / "mac", BATTERY)
    (tmp_path / "scoring" / "attempt-1" / "evaluate.3.tmp").mkdir(parents=True)
    assert Pause(Only(power=True), tmp_path / "scoring", battery, clock).due() is not None
    (tmp_path / "training" / "attempt-1" / "train.3.tmp").mkdir(parents=True)
    pause = Pause(Only(power=True), tmp_path / "training", battery, clock)
    assert pause.due() is None
    clock.seconds += 600
    assert pause.due() is not None


def test_a_round_out_of_its_hours_is_left_waiting_and_says_why(sqlite_settings: Settings, tmp_path: Path) -> None:
    day = Surroundings(sysfs=tmp_path, pmset=None, now=lambda: datetime(2026, 11, 3, 12, 0, tzinfo=UTC))
    with closing(open_store(sqlite_settings)) as store:
        open_vault(sqlite_settings, store)
        requests.request_round(store, RECIPE + 'schedule: {only: {hours: "22:00-07:00"}}\n', "test")
        run_worker(sqlite_settings, once=True, stop=threading.Event(), chores=(), around=day)
        (row,) = requests.list_rounds(store)
    assert (row.state, row.stage) == ("requested", None)
    assert row.message == "it waits for its hours, 22:00-07:00 by this machine's clock"
