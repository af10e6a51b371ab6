"""A laboratory on a server, from Python: the same answers, as values."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import JsonValue

from sdl.errors import AccessError, CampaignError, LabError, ProblemError, SdlError, TransportError
from sdl.journal.orders import ApprovalAnswer, OrderWord, TaskAnswer, Visibility
from sdl.journal.trust import Quality
from sdl.lab import WallClock
from sdl.problem.value import Value
from sdl.server import asked, models
from sdl.server.machine import is_local
from sdl.server.rehearsal import Rehearsal

if TYPE_CHECKING:
    import httpx

V = TypeVar("V", bound=Value)

_TOKEN = re.compile(r"[\x21-\x7e]+")
TIMEOUT = 120.0
"""Seconds for an answer: a campaign that is handed in is rehearsed first."""

PATIENCE = 120.0
"""Seconds for which a server is asked again that is busy: each rehearsal keeps the others waiting."""

LONGEST_PAUSE = 10.0
"""Seconds at most between two times that a busy server is asked."""

SHORT = frozenset((429, 503))
"""Answers of a server that has done nothing, where they say when to ask again."""

SILENCE = 60.0
"""Seconds after which a line of events is dead: something is said every 15 s."""

PERIOD = 0.5
"""Seconds between two looks at a campaign that is waited for."""

OVER = frozenset(("finished", "stopped", "aborted", "cancelled", "paused", "error"))
"""States in which a campaign does not run, and will not by itself."""

_ERRORS: Mapping[int, type[SdlError]] = {
    400: ProblemError,
    401: AccessError,
    403: AccessError,
    404: CampaignError,
    409: CampaignError,
    413: ProblemError,
    415: ProblemError,
    421: AccessError,
    422: ProblemError,
}


class Client:
    """Asks a server that ``sdl serve`` runs.

    Parameters
    ----------
    address
        Such as ``https://lab.example.org``, or ``http://127.0.0.1:8400``.
    token
        Who asks; see ``sdl users``.
    verify
        The file of a certificate that the machine does not know.
    patience
        Seconds for which a server is asked again that is busy, and says so.
    is_plain
        Whether the token may cross a network in the clear, to a server that does not speak HTTPS.

    Raises
    ------
    AccessError
        Whoever asks is not known, or may not do it; or the token would cross a network in the clear.
    ProblemError, CampaignError
        What was handed in makes no sense, or is not possible as things stand.
    TransportError
        The server does not answer.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        verify: str | None = None,
        patience: float = PATIENCE,
        is_plain: bool = False,
    ) -> None:
        try:
            import httpx  # noqa: PLC0415 # an extra
        except ModuleNotFoundError:
            raise LabError("asking a server needs httpx", hint="pip install 'sdl[serve]'") from None
        self.address = address.rstrip("/")
        self._patience = patience
        check_address(self.address, is_plain=is_plain)
        context: Any = True
        if verify is not None:
            import ssl  # noqa: PLC0415 # only with a certificate of one's own

            try:
                context = ssl.create_default_context(cafile=verify)
            except (OSError, ssl.SSLError) as error:
                message = f"{verify} is no certificate: {error}"
                raise AccessError(message, hint="a file in PEM, as its owner gives it") from None
        if not _TOKEN.fullmatch(token):  # else httpx would refuse it, and show it
            raise AccessError("what was given as a token is none", hint="one word, as sdl users printed it")
        self._http = httpx.Client(
            base_url=f"{self.address}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            verify=context,
            trust_env=not is_local(urlsplit(self.address).hostname or ""),  # no proxy hears it
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the lines go."""
        self._http.close()

    # --- looking ------------------------------------------------------------------------------------------------------

    def me(self) -> models.Me:
        """Return who asks, and what they may do."""
        return self._get(models.Me, "/me")

    def lab(self) -> models.LaboratoryInfo:
        """Return the laboratory, and what its stations do."""
        return self._get(models.LaboratoryInfo, "/lab")

    def stock(self) -> models.StockInfo:
        """Return what is left, and where the samples are."""
        return self._get(models.StockInfo, "/stock")

    def alarms(self) -> models.Alarms:
        """Return what is latched, and what has tripped."""
        return self._get(models.Alarms, "/alarms")

    def inbox(self) -> models.Inbox:
        """Return what waits for a person."""
        return self._get(models.Inbox, "/inbox")

    def tasks(self) -> tuple[models.TaskInfo, ...]:
        """Return what people are asked to do by hand, oldest first."""
        return self._get(models.TaskList, "/tasks").tasks

    def campaigns(self) -> tuple[models.CampaignInfo, ...]:
        """Return the campaigns that one may see, newest first."""
        return self._get(models.Campaigns, "/campaigns").campaigns

    def campaign(self, campaign: str) -> models.CampaignInfo:
        """Return one campaign, by its id or by its name."""
        if campaign.startswith("c_"):  # an id, or a name that looks like one
            with suppress(CampaignError):
                return self._get(models.CampaignInfo, f"/campaigns/{campaign}")
        found = [each for each in self.campaigns() if each.name == campaign]
        if not found:
            raise CampaignError(f"there is no campaign {campaign!r} on {self.address}", hint="or you may not see it")
        return found[0]

    def trials(self, campaign: str) -> Generator[models.TrialRow]:
        """Yield the trials of the campaign with that id, oldest first."""
        after: int | None = 0
        while after is not None:
            page = self._get(models.Trials, f"/campaigns/{campaign}/trials", after=after)
            yield from page.trials
            after = page.next

    def trial(self, campaign: str, number: int) -> models.TrialInfo:
        """Return one trial, and the decision behind it."""
        return self._get(models.TrialInfo, f"/campaigns/{campaign}/trials/{number}")

    def table(self, campaign: str) -> models.ResultsTable:
        """Return the results as a table."""
        return self._get(models.ResultsTable, f"/campaigns/{campaign}/table")

    def csv(self, campaign: str) -> str:
        """Return the results as the text of a CSV file."""
        return self._answer("GET", f"/campaigns/{campaign}/table.csv").text

    def file(self, campaign: str) -> str:
        """Return the campaign file, as it was handed in."""
        return self._get(asked.FileOnly, f"/campaigns/{campaign}/file").file

    def slices(self, campaign: str) -> models.Slices:
        """Return what the planner's model says around the best trial."""
        return self._get(models.Slices, f"/campaigns/{campaign}/slices")

    def approvals(self, campaign: str) -> tuple[models.ApprovalInfo, ...]:
        """Return every request for approval of a campaign, newest first."""
        return self._get(models.ApprovalList, f"/campaigns/{campaign}/approvals").approvals

    def record(self, campaign: str) -> Generator[models.EventInfo]:
        """Yield what the journal says of a campaign so far, without bluesky documents, oldest first."""
        after: int | None = 0
        while after is not None:
            page = self._get(models.Events, f"/campaigns/{campaign}/events", after=after)
            yield from page.events
            after = page.next

    # --- asking for something -----------------------------------------------------------------------------------------

    def rehearse(self, file: str) -> Rehearsal:
        """Say what the campaign of *file* (its text) would take. Nothing is kept."""
        return self._ask(Rehearsal, "POST", "/rehearsals", {"file": file})

    def submit(
        self, file: str, *, start: bool = True, priority: int = 0, visibility: Visibility | None = None
    ) -> models.CampaignInfo:
        """Hand in the campaign of *file* (its text), and start it."""
        shown = (visibility or Visibility()).model_dump(mode="json")
        body: dict[str, JsonValue] = {"file": file, "start": start, "priority": priority, "visibility": shown}
        return self._ask(models.CampaignInfo, "POST", "/campaigns", body)

    def order(self, campaign: str, order: OrderWord, because: str = "") -> models.CampaignInfo:
        """Start, pause, resume, stop, abort or cancel a campaign."""
        body: dict[str, JsonValue] = {"order": order, "because": because}
        return self._ask(models.CampaignInfo, "POST", f"/campaigns/{campaign}/orders", body)

    def approve(
        self, campaign: str, trial: int, answer: ApprovalAnswer = "approved", because: str = ""
    ) -> models.ApprovalInfo:
        """Answer the request for approval whose first trial is *trial*."""
        body: dict[str, JsonValue] = {"answer": answer, "because": because}
        return self._ask(models.ApprovalInfo, "POST", f"/campaigns/{campaign}/approvals/{trial}", body)

    def answer(
        self,
        campaign: str,
        trial: int,
        answer: Literal["happened", "did_not_happen", "cannot_tell"] | None,
        *,
        because: str,
        then: Literal["redo", "failed", "abandoned"] | None = None,
        act: str | None = None,
    ) -> None:
        """Say what became of acts that nobody knows the end of, or of one *act*, and what is to become of the trial."""
        body: dict[str, JsonValue] = {"answer": answer, "then": then, "act": act, "because": because}
        self._ask(models.Done, "POST", f"/campaigns/{campaign}/trials/{trial}/answer", body)

    def answer_task(self, task: str, answer: TaskAnswer = "done", note: str = "") -> None:
        """Say that a task is done, or could not be, and what there is to note."""
        self._ask(models.Done, "POST", f"/tasks/{task}", {"answer": answer, "note": note})

    def judge(self, campaign: str, trial: int, quality: Quality, *, because: str) -> None:
        """Say whether the result of a trial can be trusted."""
        body: dict[str, JsonValue] = {"quality": quality.value, "because": because}
        self._ask(models.Done, "POST", f"/campaigns/{campaign}/trials/{trial}/verdict", body)

    def comment(self, campaign: str, text: str, trial: int | None = None) -> None:
        """Put something on record."""
        self._ask(models.Done, "POST", f"/campaigns/{campaign}/comments", {"text": text, "trial": trial})

    def book(self, entry: asked.StockEntry) -> models.StockInfo:
        """Book what was counted, added, cleared away or seen."""
        return self._ask(models.StockInfo, "POST", "/stock", entry.model_dump(mode="json"))

    def abort_station(self, station: str, *, because: str) -> None:
        """Abort the step that runs on a station."""
        self._ask(models.Done, "POST", f"/stations/{station}/abort", {"because": because})

    def rearm(self, station: str, *, because: str) -> models.Alarms:
        """Let steps start again on a station that is latched."""
        return self._ask(models.Alarms, "POST", f"/stations/{station}/rearm", {"because": because})

    def stop_everything(self, *, because: str) -> None:
        """Stop every device at once, and end every campaign. No safety function."""
        self._ask(models.Done, "POST", "/stop", {"because": because})

    # --- waiting ------------------------------------------------------------------------------------------------------

    def wait(self, campaign: str, seconds: float = float("inf")) -> models.CampaignInfo:
        """Wait until a campaign does not run any more, and return how it stands. Raises TimeoutError."""
        clock = WallClock()
        until = clock.monotonic() + seconds
        while (found := self.campaign(campaign)).state not in OVER:
            if clock.monotonic() > until:
                raise TimeoutError(f"campaign {found.name} is {found.state} after {seconds:g} s")
            pause(PERIOD)
        return found

    def events(self, after: int | None = None, campaign: str | None = None) -> Generator[tuple[str, models.EventInfo]]:
        """Yield what happens as it happens, each with its kind: from event *after* on, or from now on.

        After those that were missed comes a ``hello`` without a body. It ends when the server does; go on
        with the last sequence then.
        """
        given = {"after": after, "campaign": campaign}
        chosen = {name: str(value) for name, value in given.items() if value is not None}
        with self._reached(), self._http.stream("GET", "/events", params=chosen, timeout=SILENCE) as answer:
            if answer.status_code != 200:
                answer.read()
                _raise(answer)
            kind = ""
            for line in answer.iter_lines():
                name, _, text = line.partition(": ")
                if name == "event":
                    kind = text
                elif name == "data":
                    yield kind, _event(kind, text)

    # --- the wire -----------------------------------------------------------------------------------------------------

    def _get(self, kind: type[V], path: str, **query: int) -> V:
        return kind.from_json(self._answer("GET", path, params=query).content)

    def _ask(self, kind: type[V], method: str, path: str, body: dict[str, JsonValue]) -> V:
        return kind.from_json(self._answer(method, path, json=body).content)

    def _answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return what the server answers; one that is busy, and has done nothing, is asked again for a while."""
        left = self._patience
        while True:
            with self._reached():
                answer = self._http.request(method, path, **more)
            if answer.is_success:
                return answer
            wait = _asks_for(answer)
            if wait is None or wait > left:
                _raise(answer)
            pause(wait)
            left -= wait

    @contextmanager
    def _reached(self) -> Generator[None]:
        import httpx  # noqa: PLC0415 # an extra

        try:
            yield
        except httpx.HTTPError as error:
            raise TransportError(
                f"{self.address} does not answer: {type(error).__name__}: {error}", hint="is sdl serve running there?"
            ) from error


def pause(seconds: float) -> None:
    """Wait for wall *seconds*."""
    import threading  # noqa: PLC0415 # only here

    threading.Event().wait(seconds)


def _event(kind: str, text: str) -> models.EventInfo:
    if kind != "hello":
        return models.EventInfo.from_json(text)
    return models.EventInfo(
        sequence=json.loads(text)["sequence"],
        campaign=None,
        campaign_name="",
        trial=None,
        kind=kind,
        actor="",
        time=models.EPOCH,
        body={},
    )


def check_address(address: str, *, is_plain: bool) -> None:
    """Raise :class:`~sdl.errors.AccessError` where a token would cross a network in the clear."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AccessError(f"{address!r} is no address of a laboratory", hint="such as https://lab.example.org")
    if parts.scheme == "http" and not (is_plain or is_local(parts.hostname)):
        raise AccessError(
            f"{address} speaks no HTTPS: the token would cross the network in the clear",
            hint="say https://, or reach it through a tunnel at localhost",
        )


def _asks_for(answer: httpx.Response) -> float | None:
    """Return the seconds after which the server wants to be asked again; None where it does not say so."""
    said = answer.headers.get("retry-after", "")
    if answer.status_code not in SHORT or not said.isdecimal():
        return None
    return min(max(float(said[:6]), PERIOD), LONGEST_PAUSE)


def _raise(answer: httpx.Response) -> NoReturn:
    try:
        said = models.Problem.from_json(answer.content)
    except ProblemError:
        raise TransportError(f"the server answered {answer.status_code}", hint="is it a server of sdl?") from None
    raise _ERRORS.get(answer.status_code, LabError)(said.detail, hint=said.hint)
