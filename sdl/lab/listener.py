"""Documents that another process publishes over 0MQ, in msgpack, and the runs that they make up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import msgpack  # type: ignore[import-untyped] # it has no types
import zmq
from zmq.utils.monitor import recv_monitor_message

from sdl.lab.documents import NotFinite, plain

HIGH_WATER = 100_000
"""Documents that wait for us, at most."""

MAX_SIZE = 64 * 2**20
"""Bytes of a document; a longer one is not taken."""

_unpackb: Callable[..., object] = cast("Any", msgpack).unpackb

SETTLE_MS = 300
"""Milliseconds from a connection to the first document that is certain to come."""

Document = tuple[str, dict[str, Any]]


class Listener:
    """Hears what is published at an address, in the form of ``bluesky.callbacks.zmq`` and in msgpack only."""

    def __init__(self, address: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        for option, value in ((zmq.LINGER, 0), (zmq.RCVHWM, HIGH_WATER), (zmq.MAXMSGSIZE, MAX_SIZE)):
            self._socket.setsockopt(option, value)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._monitor: Any = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(address)

    def wait_connected(self, seconds: float) -> bool:
        """Wait until somebody publishes there; say whether it is so."""
        if not self._monitor.poll(int(1000 * seconds)):
            return False
        recv_monitor_message(self._monitor)
        self._socket.poll(SETTLE_MS)  # the subscription follows the handshake, and nobody confirms it
        return True

    def take(self, seconds: float) -> Iterator[Document]:
        """Yield what comes, until nothing has come for *seconds*. What is no document is passed over."""
        while self._socket.poll(int(1000 * seconds)):
            seconds = 0.0
            found = _document(self._socket.recv())
            if found is not None:
                yield found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()


def _document(message: bytes) -> Document | None:
    try:
        _, name, packed = message.split(b" ", 2)
        document = _unpackb(packed, raw=False, strict_map_key=False)
        return (name.decode(), plain(cast("object", document))) if isinstance(document, dict) else None
    except (ValueError, TypeError, cast("Any", msgpack).exceptions.UnpackException):
        return None


class Runs:
    """The runs of one step, as their documents come."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self._stops: dict[str, Mapping[str, Any] | None] = {}
        self._back = NotFinite()
        self._owner: dict[str, str] = {}
        self._stream: dict[str, str] = {}
        self._counts: dict[str, Counter[str]] = {}

    @property
    def uids(self) -> Sequence[str]:
        """The uids of the runs, in the order of their start."""
        return tuple(self._stops)

    def data(self, key: str, stream: str = "primary") -> list[Any]:
        """Return the values that the events of *stream* have for *key*, in order."""
        found = [
            each for name, each in self.documents if name == "event" and self._stream[each["descriptor"]] == stream
        ]
        return [event["data"][key] for event in found if key in event["data"]]

    def add(self, name: str, document: dict[str, Any], *, is_ours: bool) -> bool:
        """Take in *document* where it belongs to one of the runs, or begins one that is ours; say whether it does."""
        uid = run_of(name, document, self._owner)
        if uid is None or (uid not in self._stops and not (name == "start" and is_ours)):
            return False
        self.documents.append((name, self._back(name, document)))
        match name:
            case "start":
                self._stops[uid], self._counts[uid] = None, Counter()
            case "descriptor":
                self._stream[document["uid"]] = document["name"]
            case "event":
                self._counts[uid][self._stream[document["descriptor"]]] += 1
            case "event_page":
                self._counts[uid][self._stream[document["descriptor"]]] += len(document["seq_num"])
            case "stop":
                self._stops[uid] = document
            case _:
                pass
        return True

    def missing(self, uids: Sequence[str]) -> list[str]:
        """Return those of *uids* of which documents are missing, by what their stop documents count."""
        return [uid for uid in uids if not self._is_whole(uid)]

    def _is_whole(self, uid: str) -> bool:
        stop = self._stops.get(uid)
        return stop is not None and dict(stop.get("num_events", {})) == dict(+self._counts[uid])


def run_of(name: str, document: dict[str, Any], owner: dict[str, str]) -> str | None:
    """Return the uid of the run that a document belongs to, and note in *owner* what may refer to this one."""
    if name == "start":
        return str(document["uid"])
    parents = (document.get(key) for key in ("run_start", "descriptor", "stream_resource", "resource"))
    parent = next((str(each) for each in parents if each), "")
    uid = parent if "run_start" in document else owner.get(parent)
    if uid is not None:
        for key in ("uid", "datum_id"):
            if key in document:
                owner[str(document[key])] = uid
    return uid
