"""A station's read-only signals as EPICS PVs, for a facility's own displays and archivers.

A server of Channel Access in the station's process, on a thread and a loop of its own: it only tells what it is told,
asks no device and lets nobody write. It listens on 127.0.0.1 and sends no beacons, unless the environment says
otherwise (``EPICS_CAS_INTF_ADDR_LIST``, ``EPICS_CAS_BEACON_ADDR_LIST``; Channel Access knows no passwords).

===================  ===================================================================================================
``PREFIX:``          the station
===================  ===================================================================================================
``Station``          its name
``State``            ``idle``, ``busy``, ``making safe``, ``latched`` or ``by hand``; severity MAJOR where it is latched
``Busy``             1 while a step runs
``Held``             1 while the lease of an engine holds
``Store``            the beginning of the store that owns it
``Epoch``            of the engine that it heard last
``Latched``          1 until a person arms it again
``LatchReason``      why, as a long string
``ByHand``           who has taken it by hand
``Heartbeat``        counts the seconds; where it stands still, so does the process
``Read:KEY``         the last value of each data key that a step has recorded, with its unit and its own timestamp
===================  ===================================================================================================
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sdl.errors import LabError
from sdl.lab.envelope import as_number
from sdl.lab.remote.messages import Seen

PERIOD = 0.2
"""Seconds between two looks at the station."""

START_TIMEOUT = 30.0
"""Seconds that the server may take to begin, and to end."""

STATES = ("idle", "busy", "making safe", "latched", "by hand")

LOOPBACK: Mapping[str, str] = {
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_CAS_BEACON_ADDR_LIST": "",
}
"""Where it listens, and that it sends no beacons, unless the environment says otherwise."""

_LOG = logging.getLogger(__name__)
_MAX_TEXT = 39  # characters of an EPICS string
_MAX_LONG_TEXT = 400


def state_of(seen: Seen, *, is_making_safe: bool) -> int:
    """Return the index in :data:`STATES`: what concerns a person most comes last."""
    if seen.by_hand:
        return 4
    if is_making_safe:
        return 2
    if seen.latch:
        return 3
    return 1 if seen.is_busy else 0


class StationIoc:
    """Publishes one station.

    Parameters
    ----------
    prefix
        What the names of its PVs begin with.
    look
        Says how the station stands, and whether its devices are on their way to be safe. Called on the server's thread.

    Raises :class:`~sdl.errors.LabError` where caproto is missing, or no port can be had.
    """

    def __init__(self, prefix: str, look: Callable[[], tuple[Seen, bool]]) -> None:
        try:
            self._caproto: Any = importlib.import_module("caproto")
            self._server: Any = importlib.import_module("caproto.asyncio.server")
        except ModuleNotFoundError as error:
            raise LabError("a station as an IOC needs caproto", hint="pip install 'sdl[epics]'") from error
        logging.getLogger("caproto").setLevel(logging.CRITICAL)  # a refused write is the client's to tell
        for name, value in LOOPBACK.items():
            os.environ.setdefault(name, value)
        self._prefix = prefix
        self._look = look
        self._kinds = _read_only(self._caproto)
        self._units: dict[str, str] = {}
        self._documents: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
        self._pvs: dict[str, Any] = {}
        self._told: dict[str, tuple[object, dict[str, Any]]] = {}
        self._loop = asyncio.new_event_loop()
        self._serving: asyncio.Task[None] | None = None
        self._is_ready = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sdl-ioc", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()
        self._is_ready.wait(START_TIMEOUT)
        if self._error is not None or not self._is_ready.is_set():
            raise LabError(f"cannot serve the PVs of {self._prefix}: {self._error or 'it does not begin'}")

    def close(self) -> None:
        """End to serve."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join(START_TIMEOUT)

    def document(self, name: str, document: Mapping[str, Any]) -> None:
        """Note what a step has recorded. From any thread; waits for nothing."""
        if name in {"descriptor", "event"} and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._documents.put_nowait, (name, document))

    # --- on the server's thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # noqa: BLE001 # whoever starts it is told
            self._error = error
        finally:
            self._is_ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        seen, is_making_safe = self._look()
        self._make("Station", latin(seen.station)[:_MAX_TEXT])
        self._pvs["State"] = self._kinds["enum"](value=STATES[0], enum_strings=STATES)
        for name, value in _values(seen).items():
            self._make(name, value)
        self._make("Heartbeat", 0)
        await self._tell(seen, is_making_safe=is_making_safe)
        made = {f"{self._prefix}{name}": channel for name, channel in self._pvs.items()}
        self._context = self._server.Context(made)
        if "EPICS_CAS_SERVER_PORT" in os.environ:  # caproto itself looks at the client's variable
            self._context.ca_server_port = int(os.environ["EPICS_CAS_SERVER_PORT"])
        serving = self._serving = asyncio.ensure_future(self._context.run(startup_hook=self._begun))
        beside = [asyncio.ensure_future(self._watch()), asyncio.ensure_future(self._follow())]
        await asyncio.wait([serving])
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        if not serving.cancelled():
            serving.result()

    async def _begun(self, library: object) -> None:
        del library
        self._is_ready.set()

    def _end(self) -> None:
        if self._serving is not None:
            self._serving.cancel()

    async def _watch(self) -> None:
        begun = self._loop.time()
        while True:
            await asyncio.sleep(PERIOD)
            try:
                seen, is_making_safe = self._look()
                await self._tell(seen, is_making_safe=is_making_safe)
                await self._put("Heartbeat", int(self._loop.time() - begun))
            except Exception:  # noqa: BLE001 # the heartbeat stands still meanwhile
                _LOG.exception("the PVs of %s cannot show the station", self._prefix)

    async def _tell(self, seen: Seen, *, is_making_safe: bool) -> None:
        for name, value in _values(seen).items():
            await self._put(name, value)
        is_bad = bool(seen.latch)
        severity = self._caproto.AlarmSeverity.MAJOR_ALARM if is_bad else self._caproto.AlarmSeverity.NO_ALARM
        status = self._caproto.AlarmStatus.STATE if is_bad else self._caproto.AlarmStatus.NO_ALARM
        state = STATES[state_of(seen, is_making_safe=is_making_safe)]
        await self._put("State", state, severity=severity, status=status)

    async def _put(self, name: str, value: object, **more: Any) -> None:
        """Write a PV, where it has changed: a client is told of changes."""
        if self._told.get(name) != (value, more):
            self._told[name] = (value, more)
            await self._pvs[name].write(value, verify_value=False, **more)

    def _make(self, name: str, value: object, **more: Any) -> None:
        match value:
            case str() if name == "LatchReason":
                made = self._kinds["text"](value=value, max_length=_MAX_LONG_TEXT, report_as_string=True)
            case str():
                made = self._kinds["string"](value=value, **more)
            case bool() | int():
                made = self._kinds["integer"](value=int(value), **more)
            case _:
                made = self._kinds["double"](value=value, **more)
        self._pvs[name] = made

    # --- what steps record ----------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Show the documents as they come; one that cannot be shown is left."""
        while True:
            name, document = await self._documents.get()
            try:
                await self._note(name, document)
            except Exception:  # noqa: BLE001 # a display is not worth a station
                _LOG.exception("the PVs of %s cannot show a %s", self._prefix, name)

    async def _note(self, name: str, document: Mapping[str, Any]) -> None:
        if name == "descriptor":
            keys: Mapping[str, Mapping[str, Any]] = document["data_keys"]
            self._units.update({key: str(each.get("units") or "") for key, each in keys.items()})
            return
        for key, value in document["data"].items():
            await self._show(f"Read:{key}", key, value, document["timestamps"].get(key))

    async def _show(self, name: str, key: str, value: object, timestamp: object) -> None:
        number = as_number(value)
        shown = latin(value)[:_MAX_TEXT] if isinstance(value, str) else number
        if shown is None:
            return  # an array, a truth: displays of those are the documents' own
        if name not in self._pvs:
            self._make(name, shown, **({} if number is None else {"units": latin(self._units.get(key, ""))}))
            self._context.pvdb[f"{self._prefix}{name}"] = self._pvs[name]
        taken = as_number(timestamp)
        await self._put(name, shown, **({} if taken is None else {"timestamp": taken}))


def _values(seen: Seen) -> dict[str, str | int]:
    return {
        "Busy": int(seen.is_busy),
        "Held": int(seen.is_held),
        "Store": seen.store,
        "Epoch": seen.epoch,
        "Latched": int(bool(seen.latch)),
        "LatchReason": latin(seen.reason)[:_MAX_LONG_TEXT],
        "ByHand": latin(seen.by_hand)[:_MAX_TEXT],
    }


def latin(text: str) -> str:
    """Return *text* in the characters that Channel Access has, Latin-1; a question mark stands for others."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _read_only(caproto: Any) -> dict[str, Any]:
    """Return caproto's channels, which nobody may write from outside."""

    def check_access(self: object, hostname: str, username: str) -> Any:
        del self, hostname, username
        return caproto.AccessRights.READ

    kinds = {
        "double": caproto.ChannelDouble,
        "integer": caproto.ChannelInteger,
        "string": caproto.ChannelString,
        "text": caproto.ChannelChar,
        "enum": caproto.ChannelEnum,
    }
    return {name: type(f"ReadOnly{name}", (kind,), {"check_access": check_access}) for name, kind in kinds.items()}
