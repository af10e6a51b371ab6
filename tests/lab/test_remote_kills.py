"""A station in a process of its own, killed and stopped in every state: nothing is done twice, nothing is guessed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hosted
import pytest

import sdl
from sdl.campaign import CampaignView, TrialState
from sdl.campaign.budget import FailurePolicy
from sdl.campaign.file import LabSection, make_lab
from sdl.commands.station import Named, lab_named
from sdl.errors import LabError, SdlError
from sdl.journal import backup, open_journal
from sdl.journal.acts import ActEnded, ActIntended, ActResolved
from sdl.journal.records import DocumentEmitted
from sdl.lab.remote.book import Book
from sdl.lab.remote.gate import Gate
from sdl.lab.remote.link import Link
from sdl.lab.remote.messages import Acted
from sdl.lab.remote.sockets import Address, prepare_folder
from sdl.lab.remote.station import RemoteStation

N_KILLS = 5


class Nursery:
    """The process that forks stations."""

    def __init__(self) -> None:
        path = os.pathsep.join(sys.path)
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def start(self, **order: Any) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        with self.process:
            self.process.terminate()


class Forked:
    """A station's process that dies at each of *points* in turn, and then lives."""

    def __init__(self, nursery: Nursery, folder: Path, options: dict[str, Any], points: Sequence[str]) -> None:
        self.nursery, self.folder, self.options = nursery, folder, options
        self.points = list(points)
        self.pids: list[int] = []

    @property
    def pid(self) -> int | None:
        return self.pids[-1] if self.pids else None

    @property
    def is_alive(self) -> bool:
        return bool(self.pids) and _runs(self.pids[-1])

    @property
    def last_words(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        if not self.is_alive:
            point = self.points.pop(0) if self.points else ""
            self.pids.append(self.nursery.start(folder=str(self.folder), options=self.options, point=point))

    def end(self) -> None:
        deadline = time.monotonic() + 10
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


def lab_of(
    nursery: Nursery,
    folder: Path,
    points: Sequence[str] = (),
    *,
    lease: float = 5.0,
    grace: float = 30.0,
    **options: Any,
) -> tuple[sdl.Lab, Forked]:
    """Return a laboratory whose station is a process of the nursery's."""
    given: dict[str, Any] = {"folder": str(folder), **options}
    lab = hosted.HostedLab(**given)
    place = prepare_folder(folder / "stations")
    child = Forked(nursery, place, given, points)
    address = Address.under(place, "cell")
    station = RemoteStation(lab.stations["cell"], lab, address, child=child, lease=lease, grace=grace)
    lab.stations = MappingProxyType({"cell": station})
    return lab, child


def doses(folder: Path) -> Counter[int]:
    return Counter(line["trial"] for line in hosted.noted(folder / "truth"))


def run_to_the_end(lab: sdl.Lab, folder: Path, **changes: Any) -> CampaignView:
    with lab:
        campaign = hosted.campaign_on(lab, folder, on_failure=FailurePolicy(max_in_a_row=100), **changes)
        assert campaign.run(trials=N_KILLS + 1).status == "finished"
    return view_of(folder)


def view_of(folder: Path) -> CampaignView:
    journal = open_journal(folder / "store.sdl", mode="read")
    try:
        return CampaignView.of(journal)
    finally:
        journal.close()


def bodies(folder: Path, kind: type[Any]) -> list[Any]:
    journal = open_journal(folder / "store.sdl", mode="read")
    try:
        return [event.body for event in journal.read() if isinstance(event.body, kind)]
    finally:
        journal.close()


@pytest.mark.parametrize(
    ("point", "is_dosed", "states"),
    [
        (
            "station.before_started",
            True,
            [TrialState.COMPLETED],
        ),  # it had not begun, and will not: the step begins again
        ("station.after_started", False, [TrialState.FAILED]),  # nobody knows
        ("guard.after_act", True, [TrialState.FAILED]),  # nobody knows
        ("station.after_done", True, [TrialState.COMPLETED]),  # the book knows, and the plan for the rest runs
    ],
)
def test_a_station_killed_at_every_act(
    nursery: Nursery, tmp_path: Path, point: str, is_dosed: bool, states: list[TrialState]
) -> None:
    lab, child = lab_of(nursery, tmp_path, [f"{point}:1"] * N_KILLS)
    view = run_to_the_end(lab, tmp_path, resume=True)
    assert len(child.pids) == N_KILLS + 1
    assert [trial.state for trial in view.trials] == [*(states * N_KILLS), TrialState.COMPLETED]
    expected = range(1, N_KILLS + 2) if is_dosed else [N_KILLS + 1]
    assert doses(tmp_path) == Counter(expected)
    done = [body.act for body in bodies(tmp_path, ActEnded) if body.outcome == "done"]
    happened = [body.act for body in bodies(tmp_path, ActResolved) if body.answer == "happened"]
    assert len(done) + len(happened) <= sum(doses(tmp_path).values())


@pytest.mark.parametrize("point", ["station.before_started", "station.after_done"])
def test_a_station_whose_book_was_deleted_says_so_and_the_trial_is_unknown(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The book would say that the act was not begun, or that it was done. Without it nobody says either."""
    lab, child = lab_of(nursery, tmp_path, [f"{point}:1"])
    start = child.start

    def forget() -> None:
        if child.pids and not child.is_alive:
            (tmp_path / "stations" / "cell.book").unlink()
        start()

    monkeypatch.setattr(child, "start", forget)
    with lab:
        hosted.campaign_on(lab, tmp_path, resume=True, on_unknown="ask").run(trials=1)
    assert len(child.pids) == 2
    (trial,) = view_of(tmp_path).trials
    assert trial.state is TrialState.UNKNOWN
    (found,) = bodies(tmp_path, ActResolved)
    assert found.answer == "cannot_tell"
    assert "has nothing of it: it is not the book of that time" in found.evidence
    assert doses(tmp_path) == Counter([1] if point == "station.after_done" else [])


def test_a_station_that_is_killed_while_it_is_asked_is_asked_again(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, child = lab_of(nursery, tmp_path, ["station.after_done:1"])
    station: Any = RemoteStation
    ask = station._ask

    def asking(*arguments: Any) -> Any:
        if len(child.pids) == 2:
            os.kill(child.pids[-1], signal.SIGKILL)
        return ask(*arguments)

    monkeypatch.setattr(RemoteStation, "_ask", asking)
    with lab:
        hosted.campaign_on(lab, tmp_path, resume=True, on_unknown="ask").run(trials=1)
    assert len(child.pids) == 3
    (found,) = bodies(tmp_path, ActResolved)
    assert found.answer == "happened"
    assert [trial.state for trial in view_of(tmp_path).trials] == [TrialState.COMPLETED]


def test_a_store_that_was_restored_while_its_station_lives_is_refused_until_a_person_lets_it_in(
    nursery: Nursery, tmp_path: Path
) -> None:
    """The station has seen a later session, and has in its book what the restored store has lost."""
    live, restored = tmp_path / "live.sdl", tmp_path / "restored.sdl"
    lab, child = lab_of(nursery, tmp_path)
    with lab:
        for n_trials in (1, 2):
            assert hosted.campaign_on(lab, tmp_path, journal=live).run(trials=n_trials).status == "finished"
            if n_trials == 1:
                backup(live, restored)
        for _ in range(4):  # its events grow in number with each try, and do not make it the one that the station knew
            with pytest.raises(LabError, match="where the store was restored from a backup"):
                hosted.campaign_on(lab, tmp_path, journal=restored).run(trials=2)
        assert doses(tmp_path) == Counter([1, 2])
    os.kill(child.pids[-1], signal.SIGTERM)
    child.end()
    book = Book(tmp_path / "stations" / "cell.book")
    Gate(book, "by hand").transfer("Kim", "looked at the bench")
    book.close()
    with lab_of(nursery, tmp_path)[0] as lab:
        assert hosted.campaign_on(lab, tmp_path, journal=restored).run(trials=2).status == "finished"
    assert doses(tmp_path) == Counter([1, 2, 2])  # the second dose of that number is of a trial of its own


def test_the_probe_of_a_device_is_asked_where_the_book_does_not_know(nursery: Nursery, tmp_path: Path) -> None:
    lab, child = lab_of(nursery, tmp_path, ["guard.after_act:1"], has_probe=True)
    with lab:
        assert hosted.campaign_on(lab, tmp_path, resume=True).run(trials=1).status == "finished"
    assert len(child.pids) == 2
    assert [trial.state for trial in view_of(tmp_path).trials] == [TrialState.COMPLETED]
    (found,) = bodies(tmp_path, ActResolved)
    assert (found.answer, found.evidence) == ("happened", "the balance shows 1 doses (wrong in 0.001 of all cases)")
    assert doses(tmp_path) == Counter([1])


@pytest.mark.parametrize(("seconds", "state"), [(0.1, "completed"), (0.6, "failed"), (3600.0, "failed")])
def test_a_slow_act_is_done_once_whatever_the_time_out_says(
    nursery: Nursery, tmp_path: Path, seconds: float, state: str
) -> None:
    lab, _ = lab_of(nursery, tmp_path, seconds=seconds)
    with lab:
        campaign = hosted.campaign_on(lab, tmp_path, timeout=0.3)
        campaign.run(trials=1)
    (trial,) = view_of(tmp_path).trials
    assert trial.state.value == state
    assert doses(tmp_path) == Counter([1])
    assert len(bodies(tmp_path, ActIntended)) == len(bodies(tmp_path, ActEnded)) == 1


def test_a_station_that_hangs_past_the_time_out_is_asked_and_not_told_again(nursery: Nursery, tmp_path: Path) -> None:
    lab, child = lab_of(nursery, tmp_path, seconds=3600.0, lease=0.5)

    def freeze() -> None:
        while not doses(tmp_path):
            time.sleep(0.005)
        os.kill(child.pids[-1], signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(child.pids[-1], signal.SIGCONT)

    hand = threading.Thread(target=freeze)
    hand.start()
    with lab:
        ended = hosted.campaign_on(lab, tmp_path).run(trials=1)
        hand.join()
    (trial,) = view_of(tmp_path).trials
    assert trial.state is TrialState.FAILED
    assert doses(tmp_path) == Counter([1])
    assert bodies(tmp_path, ActEnded)[0].outcome == "unknown"
    assert ended.status == "paused"
    assert len(hosted.noted(tmp_path / "stops")) >= 1


def test_when_the_time_is_over_the_book_is_asked_by_the_acts_id(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word that the act has ended never arrives, however often it is sent. It is in the station's book."""
    hear = Link.event

    def deaf(link: Link, timeout: float) -> Any:
        heard = hear(link, timeout)
        return None if isinstance(heard, Acted) and isinstance(heard.body, ActEnded) else heard

    monkeypatch.setattr(Link, "event", deaf)
    lab, _ = lab_of(nursery, tmp_path, grace=0.3, lease=0.5)
    with lab:
        hosted.campaign_on(lab, tmp_path, timeout=0.5).run(trials=1)
    (ended,) = bodies(tmp_path, ActEnded)
    assert (ended.outcome, ended.act) == ("done", bodies(tmp_path, ActIntended)[0].act)
    assert doses(tmp_path) == Counter([1])
    (trial,) = view_of(tmp_path).trials
    assert trial.failure is not None
    assert "took longer than its 0.5 s" in trial.failure.reason


def test_the_same_trials_as_in_the_engines_own_process(nursery: Nursery, tmp_path: Path) -> None:
    found: list[list[Any]] = []
    documents: list[list[str]] = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        lab = hosted.HostedLab(str(folder)) if name == "here" else lab_of(nursery, folder)[0]
        with lab:
            assert hosted.campaign_on(lab, folder).run(trials=3).status == "finished"
        view = view_of(folder)
        found.append([(dict(trial.values), str(trial)) for trial in view.trials])
        documents.append([body.name for body in bodies(folder, DocumentEmitted)])
    assert found[0] == found[1]
    assert documents[0] == documents[1]


def until(is_so: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def started(nursery: Nursery, folder: Path) -> int:
    """Start a station and an engine whose first act never ends; return the engine's number once it acts."""
    place = prepare_folder(folder / "stations")
    nursery.start(folder=str(place), options={"folder": str(folder), "seconds": 3600.0}, point="")
    engine = nursery.start(folder=str(folder), options={"seconds": 3600.0}, trials=2)
    until(lambda: doses(folder))
    return engine


def test_an_engine_killed_in_an_act_leaves_a_station_that_is_safe_and_latched(nursery: Nursery, tmp_path: Path) -> None:
    os.kill(started(nursery, tmp_path), signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: hosted.noted(tmp_path / "stops"))
    assert hosted.noted(tmp_path / "stops")[0]["at"] - killed < 1.0 + 2.0
    with lab_of(nursery, tmp_path)[0] as lab:
        campaign = hosted.campaign_on(lab, tmp_path)
        ended = campaign.run(trials=2)
        assert ended.status == "paused"
        assert "the engine went silent past its lease" in ended.reason
        campaign.rearm(by="Kim", because="the vial was looked at")
        assert campaign.run(trials=2).status == "finished"
    assert [trial.state for trial in view_of(tmp_path).trials] == [TrialState.FAILED, TrialState.COMPLETED]
    assert doses(tmp_path) == Counter([1, 2])


def test_an_engine_that_was_stopped_past_its_lease_does_not_go_on_by_itself(nursery: Nursery, tmp_path: Path) -> None:
    engine = started(nursery, tmp_path)
    os.kill(engine, signal.SIGSTOP)
    at = time.monotonic()
    until(lambda: hosted.noted(tmp_path / "stops"))
    assert hosted.noted(tmp_path / "stops")[0]["at"] - at < 1.0 + 2.0
    time.sleep(1.0)
    os.kill(engine, signal.SIGCONT)
    time.sleep(2.0)
    with contextlib.suppress(ProcessLookupError):
        os.kill(engine, signal.SIGKILL)
    assert doses(tmp_path) == Counter([1])
    assert [body.outcome for body in bodies(tmp_path, ActEnded)] == ["unknown"]


def lab_of_file(folder: Path, **says: Any) -> sdl.Lab:
    """Return the laboratory that a campaign file names."""
    section = {"type": "hosted:HostedLab", "options": {"folder": str(folder)}, **says}
    return make_lab(LabSection.from_data(section), folder, 0)[0]


RULE = {"name": "enough", "require": "detector < 5 V", "max_age": "30 s", "acts_on": ["doser"]}


def test_the_engine_starts_the_process_itself_as_a_campaign_file_says(tmp_path: Path) -> None:
    """With the clock and the interlocks of the file: a station that knows other rules is not worked with."""
    hosted.note(tmp_path / "truth", value=0.3, trial=0)
    remote = {"stations": ["cell"]}
    with lab_of_file(tmp_path, type="hosted:dream_lab", clock="wall", remote=remote, interlocks=[RULE]) as lab:
        assert hosted.campaign_on(lab, tmp_path).run(trials=1).status == "finished"
        station = lab.stations["cell"]
        assert isinstance(station, RemoteStation)
        pid = station.pid
        assert pid is not None
        assert (tmp_path / "stations" / "cell.book").exists()
        assert hosted.noted(tmp_path / "truth")[1]["pid"] == pid
    assert not _runs(pid)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"remote": {"stations": ["oven"]}}, "oven"),
        ({"remote": {"at": {"cell": "tcp://192.0.2.7:5555"}}}, "cannot be reached without keys"),
        ({"remote": {}, "clock": "virtual"}, "virtual time does not pass in two processes"),
    ],
)
def test_what_a_campaign_file_cannot_say_of_stations(tmp_path: Path, says: dict[str, Any], why: str) -> None:
    with pytest.raises(SdlError, match=why):
        lab_of_file(tmp_path, **says)


@pytest.mark.parametrize("around", ["", "name: films\nlab: "], ids=["laboratory", "campaign"])
def test_a_station_that_somebody_starts_reads_the_same_file(tmp_path: Path, around: str) -> None:
    path = tmp_path / "lab.yaml"
    remote = {"at": {"cell": "tcp://192.0.2.7:5555"}, "keys": "keys"}
    section = {"type": "hosted:dream_lab", "options": {"folder": str(tmp_path)}, "clock": "wall", "remote": remote}
    path.write_text(around + json.dumps({**section, "interlocks": [RULE]}))
    with lab_named(Named(str(path))) as lab:
        assert isinstance(lab.clock, sdl.WallClock)
        assert [rule.interlock.name for rule in lab.interlocks.rules] == ["enough"]
        assert not lab.stations["cell"].is_elsewhere
    with pytest.raises(LabError, match="says all of the laboratory"):
        lab_named(Named(str(path), clock="wall"))
