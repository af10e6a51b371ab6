"""Runs of bluesky that a crash left open."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from sdl.journal.protocol import Journal
from sdl.journal.records import DocumentEmitted

_REASON = "interrupted: the process that ran it is gone"


def stops_of_open_runs(journal: Journal, campaign: str, trial: int, time: float) -> list[DocumentEmitted]:
    """Return a stop document for each run of *trial* that has none, so that no reader waits for the rest of it.

    Its exit status is ``abort``: of the three that event-model knows, the one that claims least.
    """
    started: dict[str, None] = {}
    streams: dict[str, tuple[str, str]] = {}
    counts: dict[str, Counter[str]] = {}
    for event in journal.read(campaign=campaign, trial=trial, kinds=("document",)):
        if not isinstance(event.body, DocumentEmitted):
            continue
        document: Any = event.body.document
        match event.body.name:
            case "start":
                started[document["uid"]] = None
                counts[document["uid"]] = Counter()
            case "descriptor":
                streams[document["uid"]] = (document["run_start"], document["name"])
            case "event":
                run, stream = streams[document["descriptor"]]
                counts[run][stream] += 1
            case "stop":
                started.pop(document["run_start"], None)
            case _:
                pass
    return [DocumentEmitted(name="stop", document=_stop(run, counts[run], time)) for run in started]


def _stop(run: str, counts: Counter[str], time: float) -> dict[str, Any]:
    return {
        "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run} interrupted")),
        "run_start": run,
        "time": time,
        "exit_status": "abort",
        "reason": _REASON,
        "num_events": dict(counts),
    }
