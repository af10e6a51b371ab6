"""Do two journals say the same, apart from what differs between any two runs?"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from pydantic import JsonValue

from sdl.errors import ProblemError
from sdl.journal.protocol import Journal
from sdl.journal.records import Event
from sdl.problem.value import canonical_json, listing

VARYING = frozenset(
    {
        "boot_id",
        "version",
        "previous_hash",
        "hash",
        "session.started:host",
        "session.started:pid",
        "session.started:user",
        "session.started:versions",
    }
)
"""The fields that differ between two runs of one simulated campaign with one seed.

A name is a field of the event, or ``KIND:PATH`` a field in the body of that kind of event, with dots between levels.
"""

_COLUMNS = tuple({"timestamp": "time", "text": "body"}.get(name, name) for name in Event._fields)
_UID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def comparable_lines(journal: Journal, ignoring: Collection[str] = VARYING) -> Iterator[str]:
    """Yield each event as a line of canonical JSON without the fields in *ignoring*.

    UUIDs, which bluesky draws at random, are replaced by ``uid-1``, ``uid-2``, … in the order in which they first
    appear; that two events speak of one run is still seen.
    """
    ignored, bodies = _sorted_out(ignoring)
    counters: dict[str, str] = {}

    def counter(match: re.Match[str]) -> str:
        return counters.setdefault(match[0], f"uid-{len(counters) + 1}")

    for event in journal.read():
        body = json.loads(event.text)
        for path in bodies.get(event.kind, ()):
            _remove(body, path)
        columns = zip(_COLUMNS, event._replace(text=body), strict=True)
        yield _UID.sub(counter, canonical_json({name: value for name, value in columns if name not in ignored}))


def digest(journal: Journal, ignoring: Collection[str] = VARYING) -> str:
    """Return the SHA-256 of all :func:`comparable_lines`, in hexadecimal."""
    total = hashlib.sha256()
    for line in comparable_lines(journal, ignoring):
        total.update(line.encode())
        total.update(b"\n")
    return total.hexdigest()


def _sorted_out(ignoring: Collection[str]) -> tuple[set[str], Mapping[str, list[list[str]]]]:
    """Return the fields of the event, and the paths into the body of each kind."""
    fields = {name for name in ignoring if ":" not in name}
    if unknown := fields - set(_COLUMNS):
        raise ProblemError(
            f"an event has no field {listing(sorted(unknown))}",
            hint=f"it has {', '.join(_COLUMNS)}; a field of a body is written KIND:PATH",
        )
    bodies: defaultdict[str, list[list[str]]] = defaultdict(list)
    for name in set(ignoring) - fields:
        kind, _, path = name.partition(":")
        bodies[kind].append(path.split("."))
    return fields, bodies


def _remove(data: JsonValue, path: Sequence[str]) -> None:
    for name in path[:-1]:
        data = data.get(name) if isinstance(data, dict) else None
    if isinstance(data, dict):
        data.pop(path[-1], None)
