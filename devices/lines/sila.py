"""Instruments with a SiLA 2 server: features with properties and commands.

=====================================================  ===============================================================
``GET Thermostat.Temperature``                         the property; texts as they are, all else as JSON
``RUN Balance.Weigh {"Seconds": 3}``                   ``OK``: an unobservable command, done when it is answered
``RUN Balance.Weigh#/Mass {"Seconds": 3}``             the part of the response that a JSON pointer (RFC 6901) names
``START Thermostat.Heat {"Target": 80}``               the number of the execution: an observable command was begun
``STATUS 1``                                           ``waiting``, ``running``, ``finishedSuccessfully``,
                                                       ``finishedWithError``
``RESULT 1#/Mass``                                     a part of its response; without the pointer ``OK``
=====================================================  ===============================================================
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

from sdl.devices.lines.extras import library, pick, read_json, said
from sdl.devices.transport import GRACE_S, LARGEST_ANSWER, GuardedTransport, bounded
from sdl.devices.worker import Worker
from sdl.errors import DeviceError, LabError, TransportError
from sdl.lab.schedule.solving import RIVAL, SOLVER


class SilaTransport(GuardedTransport):
    """Requests to a SiLA 2 server, by sila2 (``pip install 'sdl[instruments]'``).

    sila2 blocks, so a thread of its own does the asking.

    Parameters
    ----------
    host, port
        Of the server.
    authority
        The certificate that the server's is checked with, in PEM; None takes those that this computer trusts.
    is_encrypted
        False speaks in the clear, which the standard forbids outside of tests.
    timeout_s
        Longest wait for an answer. The first request also reads the server's features.
    largest
        Bytes that an answer may have.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        authority: bytes | None = None,
        is_encrypted: bool = True,
        timeout_s: float = 10.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        super().__init__(name=f"sila://{host}:{port}", timeout_s=timeout_s)
        self._where = (host, port)
        self._security: dict[str, Any] = {"root_certs": authority} if is_encrypted else {"insecure": True}
        self._largest = largest
        self._client: Any = None
        self._worker: Worker | None = None
        self._begun: dict[int, Any] = {}
        _check_company()
        self._sila = library("sila2.client", "SilaTransport")
        self._framework = library("sila2.framework", "SilaTransport")

    async def _connect(self) -> None:
        # gRPC knows no time limit for connecting, and a TCP connection does.
        _, writer = await asyncio.open_connection(*self._where)
        writer.close()
        self._worker = Worker(f"sila {self._where[0]}:{self._where[1]}")
        self._begun = {}
        await self._worker.run(self._made)

    def _made(self) -> None:
        try:
            self._client = self._sila.SilaClient(*self._where, **self._security)
        except (self._framework.SilaConnectionError, RuntimeError) as error:
            raise OSError(str(error)) from error

    async def _disconnect(self) -> None:
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        client, self._client = self._client, None
        if client is not None:
            client.close()  # ends a call that still waits, so that the thread can end
        await worker.close(lambda: None, grace_s=GRACE_S)

    async def _ask(self, message: str) -> str | DeviceError:
        verb, _, rest = message.partition(" ")
        work = {
            "GET": self._get,
            "RUN": self._run,
            "START": self._start,
            "STATUS": self._status,
            "RESULT": self._result,
        }.get(verb)
        if work is None or not rest:
            raise TransportError(
                f"{self.name}: {message!r} is no request", hint="it begins with GET, RUN, START, STATUS or RESULT"
            )
        assert self._worker is not None
        try:
            answer = await self._worker.run(lambda: work(rest))
        except DeviceError as error:
            return error
        except self._framework.SilaConnectionError as error:
            raise OSError(str(error)) from error
        except self._framework.SilaError as error:
            return DeviceError(f"{self.name} refused {message!r}: {type(error).__name__}: {error}")
        bounded(answer.encode(), self._largest)
        return answer

    def _get(self, rest: str) -> str:
        path, _, pointer = rest.partition("#")
        kinds = (self._sila.ClientUnobservableProperty, self._sila.ClientObservableProperty)
        return said(pick(_plain(self._part(path, kinds, "property").get()), pointer))

    def _run(self, rest: str) -> str:
        path, pointer, arguments = _read(rest)
        command = self._part(path, (self._sila.ClientUnobservableCommand,), "unobservable command")
        return _response(self._called(command, arguments), pointer)

    def _start(self, rest: str) -> str:
        path, _, arguments = _read(rest)
        command = self._part(path, (self._sila.ClientObservableCommand,), "observable command")
        number = len(self._begun) + 1
        self._begun[number] = self._called(command, arguments)
        return str(number)

    def _status(self, rest: str) -> str:
        status = self._execution(rest).status
        return "waiting" if status is None else str(status.name)

    def _result(self, rest: str) -> str:
        number, hash_, pointer = rest.partition("#")
        return _response(self._execution(number).get_responses(), pointer if hash_ else None)

    def _execution(self, number: str) -> Any:
        found = self._begun.get(int(number)) if number.isdecimal() else None
        if found is None:
            raise DeviceError(f"{self.name} has begun no command {number!r} since it was connected")
        return found

    def _called(self, command: Any, arguments: dict[str, Any]) -> Any:
        try:
            return command(**arguments)
        except (TypeError, ValueError) as error:
            raise DeviceError(f"{self.name}: the arguments {arguments} do not fit: {error}") from error

    def _part(self, path: str, kinds: tuple[type, ...], what: str) -> Any:
        feature_name, _, name = path.partition(".")
        feature = getattr(self._client, feature_name, None)
        found = getattr(feature, name, None) if isinstance(feature, self._sila.ClientFeature) else None
        if not isinstance(found, kinds):
            raise DeviceError(f"{self.name} has no {what} {path!r}")
        return found


def _read(rest: str) -> tuple[str, str | None, dict[str, Any]]:
    """Split what follows the verb into path, pointer and arguments."""
    target, _, text = rest.partition(" ")
    path, hash_, pointer = target.partition("#")
    arguments: Any = read_json(text, "the arguments") if text else {}
    if not isinstance(arguments, dict):
        raise DeviceError(f"the arguments of {path} are {text[:80]!r}", hint='write them as in {"Target": 80}')
    return path, pointer if hash_ else None, cast("dict[str, Any]", arguments)


def _response(response: Any, pointer: str | None) -> str:
    return "OK" if pointer is None else said(pick(_plain(response), pointer))


def _plain(value: Any) -> Any:
    """Return *value* as JSON knows it: structures as mappings."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    return [_plain(item) for item in cast("list[Any]", value)] if isinstance(value, list | tuple) else value


def _check_company() -> None:
    """Raise LabError where loading the library would end the process: see :mod:`sdl.lab.schedule.solving`."""
    if SOLVER in sys.modules and RIVAL not in sys.modules:
        raise LabError(
            "SilaTransport cannot be in one process with OR-tools, which has made a schedule here",
            hint="give the instrument a station in a process of its own, or say schedule_ahead='never'",
        )
