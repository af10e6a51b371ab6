"""Which runs go into Tiled, and which stay out; ``tests/soak/into_tiled.py`` does it with a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sdl
from sdl.commands.exports import export_runs
from sdl.export import tiled
from sdl.export.tiled import TiledError, ended_runs, export_to_tiled
from sdl.journal import MemoryJournal
from sdl.journal.records import DocumentEmitted, Entry
from sdl.planners import SobolPlanner
from sdl.simulators import ThinFilmLab


def a_store(folder: Path) -> Path:
    with ThinFilmLab(seed=3) as lab:
        campaign = sdl.Campaign(
            "films",
            space=lab.space(),
            objective=lab.objective,
            planner=SobolPlanner(),
            experiment=lab.deposit_and_measure,
            lab=lab,
            journal=folder / "films.sdl",
            progress=False,
        )
        campaign.run(trials=2)
    return folder / "films.sdl"


class Catalogue(dict[str, Any]):
    """Stands for a container of Tiled and for bluesky's writer into it."""

    def delete_contents(self, uid: str, *, recursive: bool, external_only: bool) -> None:
        assert recursive
        assert not external_only
        del self[uid]

    def __call__(self, name: str, document: dict[str, Any]) -> None:
        uid = str(document["uid"] if name == "start" else document.get("run_start", self.get("last")))
        if name == "start":
            assert uid not in self, "Tiled takes no run twice"
            self[uid], self["last"] = SimpleNamespace(metadata={"start": document}, names=[]), uid
        if name == "stop":
            self[uid].metadata["stop"] = document
        self[self["last"]].names.append(name)


def test_every_run_goes_in_once_and_what_was_cut_off_goes_in_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = Catalogue()

    @contextlib.contextmanager
    def client(target: str) -> Generator[Any]:
        yield catalogue

    monkeypatch.setattr(tiled, "_client", client)
    monkeypatch.setattr(tiled, "_writer", lambda found: found)
    store, address = a_store(tmp_path), "http://127.0.0.1:1/api/v1?api_key=secret"
    export_runs(store, address, campaign="films")
    runs = [run for uid, run in catalogue.items() if uid != "last"]
    assert [run.metadata["start"]["trial"] for run in runs] == [1, 2]
    assert all((run.names[0], run.names[-1]) == ("start", "stop") and "event" in run.names for run in runs)
    export_runs(store, address, campaign=None)
    del runs[0].metadata["stop"]
    export_runs(store, address, campaign=None)
    assert runs[0] not in catalogue.values()
    assert capsys.readouterr().out.splitlines() == [
        "http://127.0.0.1:1/api/v1: 2 runs",
        "http://127.0.0.1:1/api/v1: 0 runs, 2 there already",
        "http://127.0.0.1:1/api/v1: 1 run, 1 there already",
    ]


def test_a_run_that_has_not_ended_waits_for_the_next_export() -> None:
    journal = MemoryJournal()
    start: dict[str, Any]
    stop: dict[str, Any]
    start, stop = {"uid": "a", "time": 0.0}, {"uid": "b", "run_start": "a", "time": 1.0, "exit_status": "success"}
    key = {"source": "toy", "dtype": "number", "shape": []}
    descriptor: dict[str, Any] = {"uid": "d", "run_start": "a", "data_keys": {"x": key}, "time": 0.0, "name": "primary"}
    event: dict[str, Any] = {
        "uid": "e",
        "descriptor": "d",
        "data": {"x": "Infinity"},
        "timestamps": {"x": 0.0},
        "time": 0.0,
    }
    for name, document in (("start", start), ("descriptor", descriptor), ("event", event)):
        journal.append(Entry(DocumentEmitted(name=name, document=document), "toy", 1))
    assert list(ended_runs(journal)) == [None]
    journal.append(Entry(DocumentEmitted(name="stop", document=stop), "toy", 1))
    (run,) = ended_runs(journal)
    assert run is not None
    assert [name for name, _ in run.documents] == ["start", "descriptor", "event", "stop"]
    assert run.documents[2][1]["data"] == {"x": float("inf")}
    assert list(ended_runs(journal, "another")) == []


def test_a_server_that_is_not_there_is_told_without_the_key() -> None:
    with pytest.raises(TiledError, match=r"no Tiled server at http://127\.0\.0\.1:9/api/v1: ") as told:
        export_to_tiled(MemoryJournal(), "http://127.0.0.1:9/api/v1?api_key=secret")
    assert "secret" not in str(told.value)
