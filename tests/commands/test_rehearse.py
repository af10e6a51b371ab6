"""``sdl rehearse``: what it foretells is what happens, and nothing is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from door import is_one_line, sdl

SCRIPT = """
import bluesky.plan_stubs as bps
import sdl
from sdl.planners import RandomPlanner


class Instrument:
    name, parent = "instrument", None

    def read(self):
        return {{}}

    def describe(self):
        return {{}}


def lasting(seconds, result=None):
    def plan(lab, s):
        yield from bps.sleep(seconds)
        return result
    return plan


class Twin(sdl.Lab):
    is_simulated = True


lab = Twin(
    "twin",
    stations={{"coater": ["a"], "meter": ["b"]}},
    clock=sdl.{clock}(),
    a=Instrument(),
    b=Instrument(),
)
try:
    sdl.Campaign(
        "films",
        space=sdl.SearchSpace(x=sdl.Continuous(0, 1)),
        objective=sdl.Maximize("y"),
        planner=RandomPlanner(),
        experiment=sdl.Experiment(
            sdl.Step("coat", lasting(3600), station="coater", duration="1 h"),
            sdl.Step("measure", lasting(600, {{"y": 1.0}}), station="meter", duration="10 min"),
        ),
        lab=lab,
        in_flight=2,
        progress=False,
    ).run(trials=5)
except Exception:
    pass
lab.close()
raise SystemExit("it went on")
"""


@pytest.fixture
def script(here: Path) -> Path:
    path = here / "films.py"
    path.write_text(SCRIPT.format(clock="VirtualClock"), encoding="utf-8")
    return path


def rehearsed(*words: str | Path) -> dict[str, Any]:
    result = sdl("rehearse", *words, "--json", "--begin", "2026-11-23T08:00")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_it_says_when_the_campaign_would_end_and_what_holds_it_up(script: Path) -> None:
    found = rehearsed(script)
    assert found["seconds"] == pytest.approx(5 * 3600 + 600, abs=1)
    assert found["states"] == {"completed": 5}
    assert found["utilisation"]["coater"] == pytest.approx(5 * 3600 / (5 * 3600 + 600), rel=1e-3)
    assert found["bottleneck"] == "coater"
    assert not list(script.parent.glob("*.sdl"))


def test_the_model_agrees_with_the_run(script: Path) -> None:
    run, quick = rehearsed(script), rehearsed(script, "--quick")
    assert quick["seconds"] == pytest.approx(run["seconds"], abs=1)
    assert quick["savings"][0]["station"] == "coater"
    assert quick["savings"][0]["seconds"] == pytest.approx(6000, abs=1)  # 12,600 s: the third waits for the meter


def test_one_at_a_time_takes_longer(script: Path) -> None:
    assert rehearsed(script, "--quick", "--in-flight", "1")["seconds"] == 5 * 4200
    assert rehearsed(script, "--quick", "--trials", "2")["seconds"] == 2 * 3600 + 600


def test_people_read_it_in_words(script: Path) -> None:
    result = sdl("rehearse", script, "--quick", "--begin", "2026-11-23T08:00")
    assert "2026-11-23 13:10 UTC, after 5 h 10 min" in result.output
    assert "The bottleneck is coater: a second coater would save 1 h 40 min of 5 h 10 min." in result.output


def test_waiting_for_a_station_to_open_is_part_of_the_time(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    text = text.replace(
        "    a=Instrument(),", '    calendars={"coater": sdl.Calendar(hours="10:00-24:00")},\n    a=Instrument(),'
    )
    script.write_text(text, encoding="utf-8")
    run, quick = rehearsed(script), rehearsed(script, "--quick")
    assert run["seconds"] == pytest.approx(quick["seconds"], abs=1)
    assert run["end"].startswith("2026-11-23T15:10")  # open from 10:00


def test_a_script_that_closes_its_laboratory_by_itself_can_be_rehearsed(script: Path) -> None:
    text = script.read_text(encoding="utf-8").replace("try:\n", "with lab:\n").partition("except")[0]
    script.write_text(text, encoding="utf-8")
    assert rehearsed(script)["states"] == {"completed": 5}


def test_a_store_is_rehearsed_from_what_it_tells(script: Path) -> None:
    assert sdl("run", script).exit_code != 0  # the script ends with an error after its campaign
    store = script.parent / "films.sdl"
    before = store.joinpath("journal.db").read_bytes()
    found = rehearsed(store)
    assert found["trials"] == 5
    assert found["seconds"] == pytest.approx(5 * 3600 + 600, abs=1)
    assert store.joinpath("journal.db").read_bytes() == before
    assert is_one_line(sdl("rehearse", store, "--trials", "9").stderr)


@pytest.mark.parametrize("words", [("nothing.yaml",), ("nothing.py",), ("empty.py",), ("films.py", "--begin", "soon")])
def test_what_cannot_be_rehearsed_is_refused_in_one_line(script: Path, words: tuple[str, ...]) -> None:
    script.with_name("empty.py").write_text("", encoding="utf-8")
    result = sdl("rehearse", *words)
    assert result.exit_code != 0
    assert is_one_line(result.stderr)


@pytest.mark.parametrize("use", ["lab.connect()", "lab.run(lasting(1.0))"])
def test_no_station_is_connected_by_what_stands_before_the_campaign_runs(script: Path, use: str) -> None:
    text = SCRIPT.format(clock="WallClock").replace("try:\n", f"{use}\ntry:\n", 1)
    script.write_text(text, encoding="utf-8")
    result = sdl("rehearse", script)
    assert result.exit_code != 0
    assert "a rehearsal moves nothing" in result.stderr
