"""A station whose steps an existing bluesky-queueserver runs: plans of its worker, by name, with arguments as data.

The queue itself belongs to its users and is left alone. A step is executed at once (``queue_item_execute``) when the
server is idle, and never sent twice: it is an act that is recorded before it is sent, and where the answer is lost, and
the server's history does not have it either, nobody knows what became of it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, cast

from pydantic import JsonValue

from sdl.errors import DeviceError, DeviceTimeout, LabError, SdlError, StepAborted
from sdl.journal.acts import ActEnded, ActIntended, ActOutcome
from sdl.journal.protocol import Journal
from sdl.lab.actions import ActRecord, Evidence
from sdl.lab.documents import plain
from sdl.lab.experiment import Settings
from sdl.lab.job import Job, JobResult
from sdl.lab.lab import Lab
from sdl.lab.listener import Listener, Runs
from sdl.lab.remote.history import mark_of
from sdl.lab.remote.worker import check_needs, take_hold
from sdl.lab.station import Station
from sdl.lab.stream import check_address

CORRELATION = "sdl_act"
"""The key of the start document and of the queue item that says which act of which campaign it is."""

PERIOD = 0.1
"""Seconds between two questions to the server."""

REQUEST_TIMEOUT = 5.0
"""Seconds for an answer of the server."""


@dataclass(frozen=True)
class QueueServer:
    """Where a queue server is, and for how long it may be silent.

    Parameters
    ----------
    control
        Its control address, ``tcp://127.0.0.1:60615``.
    documents
        Where its RunEngine publishes documents in msgpack; see :class:`~sdl.lab.stream.DocumentStream`.
    public_key
        Its public key, where it has one; clients are not told apart by it.
    is_open
        Whether the addresses may be beyond this host.
    user_group
        The server's group of users whose plans are allowed.
    idle_timeout
        Seconds to wait for a server that others keep busy.
    silence
        Seconds without an answer after which the server is taken for gone.
    documents_timeout
        Seconds for documents that are still on their way when a plan has ended.
    """

    control: str
    documents: str
    public_key: str | None = None
    is_open: bool = False
    user_group: str = "primary"
    idle_timeout: float = 3600.0
    silence: float = 30.0
    documents_timeout: float = 10.0


class QueuePlan:
    """The plan of a step, by its name in the queue server: ``Step("scan", QueuePlan("measure", arguments, outcomes))``.

    Parameters
    ----------
    name
        What the server calls it.
    arguments
        Returns its keyword arguments, as plain data, for the settings of a trial.
    outcomes
        Returns the step's value from the :class:`~sdl.lab.listener.Runs` that the plan made.
    action
        What doing it again would be; see :class:`~sdl.lab.ActionClass`.
    """

    def __init__(
        self,
        name: str,
        arguments: Callable[[Settings], Mapping[str, JsonValue]],
        outcomes: Callable[[Runs], Any],
        *,
        action: Literal["cumulative", "irreversible", "transfer"] = "irreversible",
    ) -> None:
        self.name = self.__name__ = name
        self.arguments, self.outcomes = arguments, outcomes
        self.action: Literal["cumulative", "irreversible", "transfer"] = action

    def __call__(self, lab: object, settings: Settings) -> Generator[Any, Any, Any]:
        """Refuse: no station of this process can run it."""
        del lab, settings
        yield from ()
        raise LabError(f"the plan {self.name} is a queue server's", hint="give its step a station of queue_server()")


def queue_server(
    lab: Lab, station: str, control: str, documents: str, *, public_key: str | None = None, is_open: bool = False
) -> Lab:
    """Have an existing queue server run the steps of *station*, and return *lab*.

    Parameters
    ----------
    lab
        It has not been used yet: ``Lab("beamline", stations={"queue": []})``, with other stations perhaps.
    station
        The station's name. It has no devices here: they are the server's.
    control, documents, public_key, is_open
        See :class:`QueueServer`.

    Raises
    ------
    LabError
        The clock is virtual, the station is not there or has devices, or an address is beyond this host.
    """
    if lab.clock.is_virtual:
        raise LabError(f"{lab.name} is in virtual time, and a queue server is not", hint="give it a WallClock")
    if station not in lab.stations or lab.stations[station].devices:
        raise LabError(f"{lab.name} has no station {station!r} without devices", hint="Lab(..., stations={NAME: []})")
    for address in (control, documents):
        check_address(address, is_open=is_open)
    server = QueueServer(control, documents, public_key, is_open)
    made = QueueServerStation(lab.stations[station], lab, server)
    lab.stations = MappingProxyType({**lab.stations, station: made})
    return lab


class Refused(LabError):
    """The queue server says no: what was asked is not done."""


class Client:
    """Asks a queue server, one question at a time. Every question raises an error of the wire where no answer comes."""

    def __init__(self, server: QueueServer) -> None:
        try:
            queueserver: Any = importlib.import_module("bluesky_queueserver")
        except ImportError as error:
            raise LabError(f"no client for queue servers: {error}", hint="pip install 'sdl[queueserver]'") from None
        self._comm: Any = queueserver.ZMQCommSendThreads(
            zmq_server_address=server.control,
            server_public_key=server.public_key,
            timeout_recv=int(1000 * REQUEST_TIMEOUT),
            raise_exceptions=True,
        )

    def ask(self, method: str, **params: Any) -> Mapping[str, Any]:
        """Return the answer. Raises :class:`Refused` where it is no."""
        answer: Mapping[str, Any] = self._comm.send_message(method=method, params=params)
        if answer.get("success") is False:
            raise Refused(str(answer.get("msg", "")))
        return answer

    def close(self) -> None:
        """Close the socket."""
        self._comm.close()
        context: Any = getattr(self._comm, "_ctx", None)
        if context is not None:  # it leaves its context open, which would be a leak with every step
            context.destroy(0)


class QueueServerStation(Station):
    """Runs jobs on a queue server, one at a time. Its methods are those of a station."""

    is_elsewhere: ClassVar[bool] = True

    def __init__(self, twin: Station, lab: Lab, server: QueueServer) -> None:
        super().__init__(twin.name, {}, lab.clock, interlocks=twin.interlocks)
        self._server = server
        self._now = lab.clock.monotonic
        self._journal: Journal | None = None
        self._job: Job | None = None
        self._correlation = ""
        self._abort_reason = ""
        self._cause: SdlError | None = None
        self._worker: threading.Thread | None = None
        self._aborter: threading.Thread | None = None
        self._is_used = False

    def enter(self, journal: Journal) -> None:
        """A session begins that *journal* records."""
        self._journal = journal

    @property
    def is_busy(self) -> bool:
        """Whether a job is queued or running."""
        return self._job is not None

    @property
    def holds(self) -> tuple[str, ...]:
        """The stations that are held for its present job."""
        job = self._job
        return () if job is None else job.needs

    @property
    def is_started(self) -> bool:
        """Whether it has been used or connected."""
        return self._is_used

    @property
    def is_making_safe(self) -> bool:
        """Never here: the devices are the server's."""
        return False

    def connect(self) -> None:
        """Look whether the server answers. Raises :class:`~sdl.errors.LabError` where it does not, or has no worker."""
        self._is_used = True
        with self._client() as api:
            status = self._status(api)
            if status is None:
                raise LabError(f"no queue server answers at {self._server.control}", hint="start-re-manager starts one")
            if not status["worker_environment_exists"]:
                raise LabError(
                    f"the queue server at {self._server.control} has no worker", hint="qserver environment open"
                )

    def submit(self, job: Job) -> None:
        """Run *job*. Returns at once."""
        if self._job is not None:
            raise LabError(f"station {self.name} is busy", hint="it runs one job at a time")
        if self._is_closed:
            raise LabError(f"station {self.name} is closed", hint="make the laboratory anew")
        self._is_used, self._job, self._abort_reason, self._correlation = True, job, "", ""
        self._cause = None
        self._worker = threading.Thread(target=self._attend, args=(job,), name=f"sdl-{self.name}-queue", daemon=True)
        self._worker.start()

    def abort(self, reason: str) -> None:
        """Have the server pause and abort the plan, where it is ours. Returns at once; from any thread."""
        if self._job is not None:
            self._abort_reason = self._abort_reason or reason
            self._begin_abort()

    def interrupt(self, error: SdlError) -> None:
        """Have the plan aborted, and the job end with *error*. From any thread."""
        if self._job is not None and not self._abort_reason:
            self._cause = error
            self.abort(error.message)

    def _begin_abort(self) -> None:
        if self._aborter is None or not self._aborter.is_alive():
            self._aborter = threading.Thread(
                target=self._abort, args=(self._correlation,), name=f"sdl-{self.name}-abort", daemon=True
            )
            self._aborter.start()

    def recall(self, act: ActRecord, campaign: str, *, may_probe: bool) -> Evidence | None:
        """Look in the server's history for *act*; one that still runs is waited for, not told again."""
        del may_probe
        correlation = self._name_of(campaign, act.trial, act.step, act.act)
        with self._client() as api:
            deadline = self._now() + self._server.silence
            while (found := _find(api, correlation)) is not None and "result" not in found and self._now() < deadline:
                threading.Event().wait(PERIOD)
        if found is None:
            return Evidence("cannot_tell", f"the queue server at {self._server.control} has nothing of it, or is gone")
        status = str(found.get("result", {}).get("exit_status", "running"))
        answer: Literal["happened", "cannot_tell"] = "happened" if status == "completed" else "cannot_tell"
        return Evidence(answer, f"the history of the queue server has it as {status}")

    def close(self) -> None:
        """Abort what runs, and wait for its end."""
        self.abort("the laboratory closes")
        self._is_closed = True
        worker, self._worker = self._worker, None
        if worker is not None and worker is not threading.current_thread():
            worker.join(2 * self._server.silence)

    # --- one job ------------------------------------------------------------------------------------------------------

    def _attend(self, job: Job) -> None:
        errand = _Errand(job, self.name, self._now)
        began = self._clock.time()
        value: Any = None
        error: BaseException | None = None
        try:
            value = self._run(job, errand)
        except Exception as raised:  # noqa: BLE001 # the border: whatever goes wrong here is the job's result
            error = raised
            with contextlib.suppress(Exception):  # a journal that cannot be written is the session's to report
                errand.end("unknown", str(raised))
        if self._cause is not None and isinstance(error, StepAborted):
            error = self._cause
        result = JobResult(
            value=value,
            error=error,
            runs=tuple(errand.runs.uids),
            started=began,
            ended=self._clock.time(),
            is_aborted=isinstance(error, StepAborted),
            is_begun=errand.is_begun,
            duration=self._now() - errand.began,
        )
        self._job = None
        job.on_done(result)

    def _run(self, job: Job, errand: _Errand) -> Any:
        plan, settings = _parts(job)
        take_hold(job, self.interlocks, self._check_abort)
        act = errand.name_act()
        md = job.md
        trial = md.get("trial")
        self._correlation = self._name_of(
            str(md.get("campaign", "")), trial if isinstance(trial, int) else 0, str(md.get("step", "")), act
        )
        item = {
            "item_type": "plan",
            "name": plan.name,
            "kwargs": dict(plan.arguments(settings)),
            "meta": {**md, CORRELATION: self._correlation},
        }
        with self._client() as api, Listener(self._server.documents) as stream:
            if not stream.wait_connected(self._server.silence):
                raise LabError(f"nobody publishes documents at {self._server.documents}", hint="see queue_server()")
            self._wait_idle(api)
            check_needs(job, self.interlocks)  # others may have kept the server busy for an hour
            errand.intend(plan, item)
            self._check_abort(errand)  # from here on the plan may run, and an abort is told to the server
            self._send(api, item, errand)
            result = self._follow(api, stream, errand)
            self._conclude(stream, errand, result, plan.name)
        return plan.outcomes(errand.runs)

    def _name_of(self, campaign: str, trial: int, step: str, act: str) -> str:
        """Return what an act is called on the server: another one for every attempt and every journal."""
        mark = uuid.uuid4().hex if self._journal is None else mark_of(self._journal, campaign, trial, step, act)
        return f"{campaign}/{act}/{mark[:32]}"

    def _check_abort(self, errand: _Errand | None = None) -> None:
        if self._abort_reason:
            why = f"the step was aborted before it began: {self._abort_reason}"
            if errand is not None:
                errand.end("refused", why)
            raise StepAborted(why)

    def _wait_idle(self, api: Client) -> None:
        deadline = self._now() + self._server.idle_timeout
        while True:
            self._check_abort()
            status = self._status(api)
            if status is not None and status["manager_state"] == "idle" and status["worker_environment_exists"]:
                return
            if self._now() > deadline:
                said = "does not answer" if status is None else f"is {status['manager_state']}"
                raise LabError(f"the queue server {said}, and the step waits for it no longer")
            threading.Event().wait(PERIOD)

    def _send(self, api: Client, item: Mapping[str, Any], errand: _Errand) -> None:
        """Send the item, once. An answer that is lost is looked for in what the server says of its plans."""
        try:
            api.ask("queue_item_execute", item=dict(item), user="sdl", user_group=self._server.user_group)
        except Refused as error:
            errand.end("refused", str(error))
            raise LabError(f"the queue server refuses {item['name']}: {error}") from error
        except Exception as error:  # a network: whether the server has it, it alone can say
            deadline = self._now() + self._server.silence
            while _find(api, self._correlation) is None:
                if self._now() > deadline:
                    raise LabError(
                        f"nobody knows whether the queue server has begun {item['name']}: {error}"
                    ) from error
                threading.Event().wait(PERIOD)
        errand.is_begun = True

    def _follow(self, api: Client, stream: Listener, errand: _Errand) -> Mapping[str, Any]:
        """Take in documents until the history has the item; return its result."""
        began = heard = self._now()
        limit = errand.job.timeout
        while True:
            errand.listen(stream, self._correlation, PERIOD)
            found = _find(api, self._correlation)
            if found is not None:
                heard = self._now()
                if "result" in found:
                    return cast("Mapping[str, Any]", found["result"])
                if self._abort_reason:  # the server may not have had the plan when it was said first
                    self._begin_abort()
            elif self._now() - heard > self._server.silence:
                raise LabError(f"the queue server at {self._server.control} says nothing any more of the plan")
            if limit is not None and self._now() - began > limit:
                errand.is_late = True
                self.abort(f"it took longer than {limit:g} s")
                if self._now() - began > limit + self._server.silence:
                    raise DeviceTimeout(f"the step took longer than its {limit:g} s, and the queue server hangs")

    def _conclude(self, stream: Listener, errand: _Errand, result: Mapping[str, Any], name: str) -> None:
        """Record how the act ended, and wait for the documents that are on their way."""
        status, uids = str(result.get("exit_status")), [str(uid) for uid in result.get("run_uids", ())]
        deadline = self._now() + self._server.documents_timeout
        while (missing := errand.runs.missing(uids)) and self._now() < deadline:
            errand.listen(stream, self._correlation, PERIOD)
        if status == "completed":
            errand.end("done")
            if missing:
                raise LabError(
                    f"the plan {name} is done, and documents of run {missing[0]} are lost",
                    hint="0MQ promises no delivery; the server's own record has them",
                )
            return
        errand.end("unknown" if status == "unknown" else "failed", str(result.get("msg", "")))
        if errand.is_late:
            raise DeviceTimeout(f"the step took longer than its {errand.job.timeout:g} s")
        if self._abort_reason or status != "failed":
            raise StepAborted(f"the plan {name} was {status}: {self._abort_reason or 'by somebody else'}")
        raise DeviceError(f"the plan {name} failed on the queue server: {result.get('msg', '')}")

    # --- the server ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _client(self) -> Generator[Client]:
        client = Client(self._server)
        try:
            yield client
        finally:
            client.close()

    def _status(self, api: Client) -> Mapping[str, Any] | None:
        """Return the server's status; None where it does not answer."""
        try:
            return api.ask("status")
        except Exception:  # noqa: BLE001 # the wire: silence is what the caller counts
            return None

    def _abort(self, correlation: str) -> None:
        """Pause the plan at once and abort it, where the one that runs is ours, by *correlation*."""
        if not correlation:  # ours has no name yet, so none is there; and an item of somebody else has none ever
            return
        with contextlib.suppress(Exception), self._client() as api:  # it has ended by itself, or the server is gone
            deadline = self._now() + self._server.silence
            is_told = False
            while self._now() < deadline:
                state = api.ask("status")["manager_state"]
                if _correlation(api.ask("queue_get")["running_item"]) != correlation:
                    return  # the next one may be somebody else's
                if state == "paused":
                    api.ask("re_abort")
                    return
                if not is_told:
                    api.ask("re_pause", option="immediate")
                    is_told = True
                threading.Event().wait(PERIOD)


class _Errand:
    """One job: its act, and the documents that came of it."""

    def __init__(self, job: Job, station: str, now: Callable[[], float]) -> None:
        self.job = job
        self.runs = Runs()
        self.began = now()
        self.is_begun = self.is_late = False
        self._station = station
        self._now = now
        self._act: ActIntended | None = None

    def name_act(self) -> str:
        """Return the act's id, as the action guard would name it."""
        md = self.job.md
        return f"{md.get('trial', 0)}.{md.get('attempt', 0)}.{md.get('step', '')}.{self.job.n_acts_before + 1}"

    def intend(self, plan: QueuePlan, item: Mapping[str, Any]) -> None:
        """Record that the plan is about to be sent."""
        attempt = self.job.md.get("attempt", 0)
        intended = ActIntended(
            act=self.name_act(),
            step=str(self.job.md.get("step", "")),
            station=self._station,
            attempt=attempt if isinstance(attempt, int) else 0,
            device=plan.name,
            verb="execute",
            action_class=plan.action,
            arguments=plain(item["kwargs"]),
        )
        self.job.on_act(intended)
        self._act = intended

    def end(self, outcome: ActOutcome, reason: str = "") -> None:
        """Record how the act ended, once."""
        act, self._act = self._act, None
        if act is not None:
            seconds = self._now() - self.began
            self.job.on_act(ActEnded(act=act.act, outcome=outcome, seconds=seconds, reason=reason))

    def listen(self, stream: Listener, correlation: str, seconds: float) -> None:
        """Record the documents of the act that come within *seconds*."""
        for name, document in stream.take(seconds):
            if self.runs.add(name, document, is_ours=document.get(CORRELATION) == correlation):
                self.job.on_document(name, document)


def _parts(job: Job) -> tuple[QueuePlan, Settings]:
    """Return the plan and the settings of *job*. Raises :class:`~sdl.errors.LabError` for a plan of another kind."""
    made: object = job.plan
    if isinstance(made, functools.partial) and len(made.args) == 2:
        function: object = made.func
        settings: object = made.args[1]
        if isinstance(function, QueuePlan) and isinstance(settings, Settings):
            return function, settings
    raise LabError("a queue server runs its own plans, one trial at a time", hint="give the step a QueuePlan")


def _correlation(item: Mapping[str, Any] | None) -> str:
    meta: object = (item or {}).get("meta")
    return str(cast("dict[str, Any]", meta).get(CORRELATION, "")) if isinstance(meta, dict) else ""


def _find(api: Client, correlation: str) -> Mapping[str, Any] | None:
    """Return the item as the server has it, with its result where it has ended; None where it says nothing of it."""
    try:
        running = api.ask("queue_get")["running_item"]
        if _correlation(running) == correlation:
            return {key: value for key, value in running.items() if key != "result"}
        items = api.ask("history_get")["items"]
    except Exception:  # noqa: BLE001 # the wire: no answer says nothing
        return None
    return next((item for item in reversed(items) if _correlation(item) == correlation), None)
