"""A campaign in Tiled: exported with the command, read back with Tiled's own client, from a real server."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sdl
from sdl.commands.exports import export_runs
from sdl.export.tiled import TiledError, connected, ended_runs, export_to_tiled, served
from sdl.journal import MemoryJournal, open_journal
from sdl.journal.records import DocumentEmitted, Entry
from sdl.lab.documents import plain
from sdl.planners import SobolPlanner
from sdl.simulators import ThinFilmLab

ATTEMPTS = 3  # Tiled gives its server 20 s to start, which a machine with much else to do may not have


@pytest.fixture
def store(tmp_path: Path) -> Path:
    place = tmp_path / "films.sdl"
    with ThinFilmLab(seed=3) as lab:
        campaign = sdl.Campaign(
            "films",
            space=lab.space(),
            objective=lab.objective,
            planner=SobolPlanner(),
            experiment=lab.deposit_and_measure,
            lab=lab,
            journal=place,
            progress=False,
        )
        campaign.run(trials=2)
    return place


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("tiled.server", reason="needs a Tiled server: pip install 'tiled[server]'")
    with contextlib.ExitStack() as stack:
        for attempt in range(ATTEMPTS):
            with contextlib.suppress(TimeoutError, RuntimeError):
                yield stack.enter_context(served(tmp_path / str(attempt)))
                return
        pytest.fail(f"Tiled's server did not start in {ATTEMPTS} attempts")


def recorded(store: Path) -> list[tuple[str, dict[str, Any]]]:
    journal = open_journal(store, mode="read")
    bodies = [event.body for event in journal.read(kinds=("document",))]
    journal.close()
    return [(each.name, plain(each.document)) for each in bodies if isinstance(each, DocumentEmitted)]


@pytest.mark.filterwarnings("ignore")  # of Tiled's own, whose server is in this process
@pytest.mark.timeout(600)  # most of it is imports and a server that starts
def test_a_campaign_is_read_back_from_tiled(store: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    dask_config: Any = importlib.import_module("dask.config")
    key: Any = importlib.import_module("tiled.queries").Key

    export_runs(store, address, campaign="films")
    export_runs(store, address, campaign=None)
    said = capsys.readouterr().out.splitlines()
    documents = recorded(store)
    starts = [document for name, document in documents if name == "start"]
    assert said[0].endswith(f": {len(starts)} runs")
    assert said[1].endswith(f": 0 runs, {len(starts)} there already")
    assert "api_key" not in "".join(said)
    with connected(address) as client, dask_config.set(scheduler="synchronous"):  # no pool of threads stays
        found = client.search(key("start.campaign") == "films").search(key("start.trial") == 2)
        expected = [start for start in starts if start["trial"] == 2]
        assert [run.metadata["start"] for run in found.values()] == expected
        assert {start["step"] for start in expected} == {"deposit_and_measure"}
        check_events(client[expected[0]["uid"]], documents)
        # what an export that was cut off has left behind is written anew
        client.delete_contents(starts[0]["uid"], recursive=True, external_only=False)
        client.create_container(key=starts[0]["uid"], metadata={"start": starts[0]})
        export_runs(store, address, campaign=None)
        assert client[starts[0]["uid"]].metadata["stop"]["exit_status"] == "success"
    assert capsys.readouterr().out.rstrip().endswith(f": 1 run, {len(starts) - 1} there already")


def check_events(run: Any, documents: list[tuple[str, dict[str, Any]]]) -> None:
    """Every stream has the events of the journal, bit for bit."""
    uid = run.metadata["start"]["uid"]
    streams = {
        document["uid"]: document["name"]
        for name, document in documents
        if name == "descriptor" and document["run_start"] == uid
    }
    assert streams
    for descriptor, stream in streams.items():
        table = run[stream].base["internal"].read()
        expected = [each for name, each in documents if name == "event" and each["descriptor"] == descriptor]
        assert list(table["seq_num"]) == [event["seq_num"] for event in expected]
        for key in expected[0]["data"]:
            assert list(table[key]) == [event["data"][key] for event in expected]


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
