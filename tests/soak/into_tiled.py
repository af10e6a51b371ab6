"""A campaign into a real Tiled server and back: into_tiled.py [--trials N] [--seed N]. All must be equal.

The server runs in this process, on a loopback port, with a catalogue in a temporary folder.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import sdl
from sdl.export.tiled import connected, export_to_tiled, served
from sdl.journal import MemoryJournal
from sdl.journal.records import DocumentEmitted
from sdl.lab.documents import plain
from sdl.planners import SobolPlanner
from sdl.simulators import ThinFilmLab

Document = tuple[str, dict[str, Any]]


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    journal = MemoryJournal()
    run(journal, given.trials, given.seed)
    bodies = [event.body for event in journal.read(kinds=("document",))]
    documents: list[Document] = [
        (each.name, plain(each.document)) for each in bodies if isinstance(each, DocumentEmitted)
    ]
    starts = [document for name, document in documents if name == "start"]
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address:
        print(export_to_tiled(journal, address))
        again = export_to_tiled(journal, address)
        print(again)
        with connected(address) as client:
            n_events = sum(compared(client, start, documents) for start in starts)
            search: Any = importlib.import_module("tiled.queries").Key("start.campaign") == "films"
            n_found = len(client.search(search))
            spoil(client, starts[0])
            mended = export_to_tiled(journal, address)
            print(mended)
        with connected(address) as another:  # a client remembers what it has read
            is_whole = "stop" in another[starts[0]["uid"]].metadata
    print(f"{len(starts)} runs, {n_found} found by campaign, {n_events} values equal")
    is_fine = n_found == len(starts) == again.n_there and mended.n_new == 1 and is_whole
    return 0 if is_fine else 1


def run(journal: MemoryJournal, trials: int, seed: int) -> None:
    """Run a small campaign."""
    with ThinFilmLab(seed=seed) as lab:
        campaign = sdl.Campaign(
            "films",
            space=lab.space(),
            objective=lab.objective,
            planner=SobolPlanner(),
            experiment=lab.deposit_and_measure,
            lab=lab,
            journal=journal,
            progress=False,
        )
        campaign.run(trials=trials)


def compared(client: Any, start: dict[str, Any], documents: list[Document]) -> int:
    """Compare metadata and every event of a run with the journal, bit for bit; return how many values there are."""
    found, n_values = client[start["uid"]], 0
    assert found.metadata["start"] == start, start
    for name, descriptor in documents:
        if name != "descriptor" or descriptor["run_start"] != start["uid"]:
            continue
        table = found[descriptor["name"]].base["internal"].read()
        events = [each for kind, each in documents if kind == "event" and each["descriptor"] == descriptor["uid"]]
        for key in descriptor["data_keys"]:
            assert list(table[key]) == [event["data"][key] for event in events], key
            n_values += len(events)
    return n_values


def spoil(client: Any, start: dict[str, Any]) -> None:
    """Leave of a run what an export leaves that is cut off."""
    client.delete_contents(start["uid"], recursive=True, external_only=False)
    client.create_container(key=start["uid"], metadata={"start": start})


if __name__ == "__main__":
    sys.exit(main())
