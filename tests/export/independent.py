"""Checks the lines that ``sdl export --events`` writes. It imports nothing of sdl: anybody can write it again.

A line is one event. Its hash is the SHA-256 of the hash of the event before it, the JSON list of the columns sequence,
campaign, trial, kind, actor, timestamp, monotonic, boot_id and version (no spaces, not escaped), and the body's text.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

COLUMNS = ("sequence", "campaign", "trial", "kind", "actor", "timestamp", "monotonic", "boot_id", "version")


def problems(lines: Iterable[str]) -> list[str]:
    """Return what is wrong with an export; empty where nothing is."""
    found: list[str] = []
    previous = "0" * 64
    intended: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        event: dict[str, Any] = json.loads(line)
        if event["sequence"] != number:
            found.append(f"line {number} is event {event['sequence']}")
        columns = json.dumps([event[name] for name in COLUMNS], separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256((previous + columns + event["text"]).encode()).hexdigest()
        if (event["previous_hash"], event["hash"]) != (previous, digest):
            found.append(f"event {number} does not match its hash")
        if not event["actor"]:
            found.append(f"event {number} says not who")
        previous = event["hash"]
        body = json.loads(event["text"])
        intended[body.get("act", "")] += event["kind"] == "act.intended"
        ended[body.get("act", "")] += event["kind"] == "act.ended"
    found += [f"act {act} is intended {n} times" for act, n in intended.items() if n > 1]
    found += [f"act {act} ends and was never intended" for act, n in ended.items() if n > intended[act]]
    return found


def intents(lines: Iterable[str]) -> list[str]:
    """Return the ids of the acts that were intended, in order."""
    events = [json.loads(line) for line in lines]
    return [json.loads(event["text"])["act"] for event in events if event["kind"] == "act.intended"]
