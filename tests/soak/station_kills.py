"""Kill a station in a process of its own, and the engine that commands it, many times.

station_kills.py [--station N] [--station-random N] [--engine N] [--engine-random N] [--seed N]

``--station``: kills of the station at each of the named places around an act, shared out among them; ``--engine``: of
the engine, at every place that it passes. The other two are kills after a random time. The instruments' own notes, the
station's book and the journal are compared: nothing is done twice, nothing that was done is lost, nothing is recorded
as done that was not, and what is unknown was begun and has no end in the station's book.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "lab"))

import hosted  # pyright: ignore[reportMissingImports] # beside the tests, whose folder is added above
from test_remote_kills import (  # pyright: ignore[reportMissingImports] # as above
    Nursery,
    bodies,
    doses,
    lab_of,
    view_of,
)

from sdl.campaign.budget import FailurePolicy
from sdl.journal.acts import ActEnded, ActIntended, ActResolved
from sdl.lab.remote.link import StationLost
from sdl.lab.remote.sockets import prepare_folder

STATION_PLACES = (
    "station.before_started",
    "station.after_started",
    "guard.after_act",
    "station.before_done",
    "station.after_done",
)
BATCH = 25
"""Kills in one campaign."""

QUICK, SLOW = 0.02, 0.3
"""Seconds that an act takes: long enough for random kills to come in the middle of one."""

Kill = tuple[str, float]
"""A place, or none; and then after which part of the time that a run takes."""


# --- the station dies -------------------------------------------------------------------------------------------------


def kill_stations(nursery: Nursery, points: list[str], n_random: int, seed: int) -> Counter[str]:
    """Run one campaign whose station is killed at each of *points*, or *n_random* times; count what came of it."""
    with tempfile.TemporaryDirectory(prefix="sdl-") as name:
        folder = Path(name)
        lab, child = lab_of(nursery, folder, points, seconds=QUICK if points else SLOW)
        over = threading.Event()
        killer = threading.Thread(target=now_and_then, args=(child, n_random, random.Random(seed), over))
        killer.start()
        try:
            with lab:
                campaign = hosted.campaign_on(lab, folder, resume=True, on_failure=FailurePolicy(max_in_a_row=10**6))
                status = run_on(campaign, (len(points) or 4 * n_random) + 1)
        finally:
            over.set()
            killer.join()
        return checked(folder, len(child.pids) - 1, is_finished=status == "finished")


def run_on(campaign: Any, n_trials: int) -> str:
    """Run *campaign* to so many trials; begin again where its station was killed before it had the station."""
    for _ in range(20):
        try:
            return str(campaign.run(trials=n_trials).status)
        except StationLost as lost:
            print(f"  not begun: {lost.message}", flush=True)
    return "not begun"


def now_and_then(child: Any, n: int, chance: random.Random, over: threading.Event) -> None:
    """Kill the station *n* times: a random time after it takes part again."""
    for _ in range(n):
        while child.pid is None or not child.is_alive:
            if over.wait(0.01):
                return
        if over.wait(chance.uniform(0.0, 1.5)):
            return
        if child.is_alive:
            os.kill(child.pid, signal.SIGKILL)


# --- the engine dies --------------------------------------------------------------------------------------------------


def places_of_engine(nursery: Nursery) -> list[str]:
    """Return the places that an engine passes in a campaign, and in one that goes on after a kill."""
    found: dict[str, None] = {}

    def noting(folder: Path) -> None:
        log = folder / "log.places"
        for trials, point in ((2, ""), (4, "recorder.after_act:1"), (6, "journal.before_commit:30"), (8, "")):
            engine_until(nursery, folder, trials, (point, 0.0), log=str(log))
        found.update(dict.fromkeys(log.read_text().split()))

    with_station(nursery, noting)
    return list(found)


def kill_engines(nursery: Nursery, kills: Iterable[Kill], missed: list[Kill] | None = None) -> Counter[str]:
    """Run one campaign whose engine is killed with each of *kills*, and then goes to its end; count what came of it."""
    kills = list(kills)
    act = SLOW if kills[0][1] else QUICK
    found: Counter[str] = Counter()

    def killing(folder: Path) -> None:
        began = time.monotonic()
        engine_until(nursery, folder, 2, ("", 0.0))
        longest = time.monotonic() - began
        n_kills, n_trials = 0, 2
        for place, part in kills:
            n_trials += 2
            is_killed = engine_until(nursery, folder, n_trials, (place, part * longest))
            n_kills += is_killed
            if missed is not None and not is_killed:
                missed.append((place, part))
        is_killed = engine_until(nursery, folder, len(view_of(folder).trials) + 1, ("", 0.0))
        found.update(checked(folder, n_kills, is_finished=not is_killed))

    with_station(nursery, killing, seconds=act)
    return found


def with_station(nursery: Nursery, what: Callable[[Path], object], *, seconds: float = QUICK) -> None:
    """Do *what* in a folder with a station that stays."""
    with tempfile.TemporaryDirectory(prefix="sdl-") as name:
        folder = Path(name)
        place = prepare_folder(folder / "stations")
        order = {"options": {"folder": name, "seconds": seconds}, "point": "", "stays": True}
        station = nursery.start(folder=str(place), **order)
        try:
            what(folder)
        finally:
            os.kill(station, signal.SIGTERM)
            while runs(station):
                time.sleep(0.01)


def engine_until(nursery: Nursery, folder: Path, n_trials: int, kill: Kill, *, log: str = "") -> bool:
    """Have an engine run the campaign on to *n_trials*, arming the station where it must; whether it was killed."""
    point, seconds = kill
    (folder / "ended").unlink(missing_ok=True)
    order = {"options": {"seconds": 0.02}, "trials": n_trials, "point": point, "log": log, "arms": True}
    engine = nursery.start(folder=str(folder), **order)
    began = time.monotonic()
    while runs(engine):
        taken = time.monotonic() - began
        if seconds and taken > seconds:
            os.kill(engine, signal.SIGKILL)
            seconds = 0.0
        if taken > 180.0:
            os.kill(engine, signal.SIGKILL)
            raise TimeoutError(f"an engine does not end: {kill}")
        time.sleep(0.005)
    return not (folder / "ended").exists()


def runs(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- what came of it --------------------------------------------------------------------------------------------------


def checked(folder: Path, n_kills: int, *, is_finished: bool) -> Counter[str]:
    """Compare the notes of the instruments, the station's book and the journal."""
    true = doses(folder)
    intended = {body.act for body in bodies(folder, ActIntended)}
    ended = {body.act: body.outcome for body in bodies(folder, ActEnded)}
    answers = {body.act: body.answer for body in bodies(folder, ActResolved)}
    done = {act for act in intended if ended.get(act) == "done" or answers.get(act) == "happened"}
    denied = {act for act in intended if answers.get(act) == "did_not_happen" or ended.get(act) == "refused"}
    unknown = {act for act in intended - done - denied if ended.get(act) != "failed"}
    book = states(folder)
    found: Counter[str] = Counter({"kills": n_kills, "campaigns": 1, "trials": len(view_of(folder).trials)})
    found["duplicates"] = sum(n - 1 for n in true.values() if n > 1)
    found["done without an act"] = sum((of_trials(done) - true).values())
    found["lost"] = sum((true - of_trials(intended - denied)).values())
    found["unknown"] = len(unknown)
    found["unknown without need"] = sum(not is_open(book.get(act, [])) for act in unknown)
    found["not finished"] = int(not is_finished)
    return found


def of_trials(acts: Iterable[str]) -> Counter[int]:
    """Count acts by their trial."""
    return Counter(int(act.partition(".")[0]) for act in acts)


def states(folder: Path) -> dict[str, list[str]]:
    """Return what the station's book has of each act."""
    found: dict[str, list[str]] = {}
    for line in (folder / "stations" / "cell.book").read_bytes().splitlines():
        record = json.loads(line.partition(b" ")[2])
        if record["kind"] == "act":
            found.setdefault(record["act"].split("/")[2], []).append(record["state"])
    return found


def is_open(told: list[str]) -> bool:
    """Whether an act was begun, and nobody saw its end."""
    return "started" in told and "done" not in told


BAD = ("duplicates", "done without an act", "lost", "unknown without need", "not finished")


def main() -> int:
    """Run, print, and say with the exit code whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for what in ("station", "station-random", "engine", "engine-random"):
        parser.add_argument(f"--{what}", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    nursery, total = Nursery(), Counter[str]()
    try:
        total += stations_at_places(nursery, options.station)
        total += stations_at_random(nursery, options.station_random, options.seed)
        total += engines_at_places(nursery, options.engine)
        total += engines_at_random(nursery, options.engine_random, options.seed)
    finally:
        nursery.close()
    print(told("altogether", total))
    return int(any(total[what] for what in BAD))


def told(what: str, found: Counter[str]) -> str:
    """Return a line."""
    counts = ", ".join(f"{found[name]} {name}" for name in ("kills", "campaigns", "trials", "unknown", *BAD))
    return f"{what}: {counts}"


def until(what: str, wanted: int, batch: Callable[[int, int], Counter[str]]) -> Counter[str]:
    """Go on with ``batch(n, number)`` until so many were killed."""
    found, began = Counter[str](), time.monotonic()
    for number in itertools.count():
        if found["kills"] >= wanted:
            break
        found += batch(min(BATCH, wanted - found["kills"]), number)
        if number % 4 == 3:
            print(f"  {told(what, found)}", flush=True)
    seconds = time.monotonic() - began
    print(f"{told(what, found)}; {seconds / max(found['kills'], 1):.2f} s a kill", flush=True)
    return found


def stations_at_places(nursery: Nursery, wanted: int) -> Counter[str]:
    """Kill stations at the named places, in turn."""

    def batch(n: int, number: int) -> Counter[str]:
        return kill_stations(nursery, [f"{STATION_PLACES[number % len(STATION_PLACES)]}:1"] * n, 0, 0)

    return until("stations at fail points", wanted, batch)


def stations_at_random(nursery: Nursery, wanted: int, seed: int) -> Counter[str]:
    """Kill stations at random times."""
    return until("stations at random", wanted, lambda n, number: kill_stations(nursery, [], n, seed + number))


def engines_at_places(nursery: Nursery, wanted: int) -> Counter[str]:
    """Kill engines at all places that they pass, at the first passage, then at the second, and so on."""
    if not wanted:
        return Counter()
    places = places_of_engine(nursery)
    print(f"an engine passes {len(places)} places: {' '.join(places)}", flush=True)
    kills: list[Kill] = [(f"{place}:{hit}", 0.0) for hit in (1, 2, 3) for place in places]

    def batch(n: int, _: int) -> Counter[str]:
        chosen, missed = [kills.pop(0) for _ in range(min(n, len(kills)))], list[Kill]()
        found = kill_engines(nursery, chosen, missed)
        kills.extend(kill for kill in chosen if kill not in missed or kill[0].endswith(":1"))
        return found

    return until("engines at fail points", wanted, batch)


def engines_at_random(nursery: Nursery, wanted: int, seed: int) -> Counter[str]:
    """Kill engines at random times."""
    chance = random.Random(seed)
    return until(
        "engines at random",
        wanted,
        lambda n, _: kill_engines(nursery, [("", chance.uniform(0.01, 1.0)) for _ in range(n)]),
    )


if __name__ == "__main__":
    sys.exit(main())
