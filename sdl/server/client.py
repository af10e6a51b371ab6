"""A laboratory on a server, from Python: the same answers, as values."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar

from pydantic import JsonValue

from sdl.errors import AccessError, CampaignError, LabError, ProblemError, SdlError, TransportError
from sdl.journal.orders import ApprovalAnswer, OrderWord, Visibility
from sdl.journal.trust import Quality
from sdl.lab import WallClock
from sdl.problem.value import Value
from sdl.server import models
from sdl.server.rehearsal import Rehearsal

if TYPE_CHECKING:
    import httpx

V = TypeVar("V", bound=Value)

TIMEOUT = 120.0
"""Seconds for an answer: a campaign that is handed in is rehearsed first."""

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

    Raises
    ------
    AccessError
        Whoever asks is not known, or may not do it.
    ProblemError, CampaignError
        What was handed in makes no sense, or is not possible as things stand.
    TransportError
        The server does not answer.
    """

    def __init__(self, address: str, token: str, *, verify: str | None = None) -> None:
        try:
            import httpx  # noqa: PLC0415 # an extra
        except ModuleNotFoundError:
            raise LabError("asking a server needs httpx", hint="pip install 'sdl[serve]'") from None
        self.address = address.rstrip("/")
        context: Any = True
        if verify is not None:
            import ssl  # noqa: PLC0415 # only with a certificate of one's own

            context = ssl.create_default_context(cafile=verify)
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=f"{self.address}/api/v1", headers=headers, timeout=TIMEOUT, verify=context)

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

    def campaigns(self) -> tuple[models.CampaignInfo, ...]:
        """Return the campaigns that one may see, newest first."""
        return self._get(models.Campaigns, "/campaigns").campaigns

    def campaign(self, campaign: str) -> models.CampaignInfo:
        """Return one campaign, by its id or by its name."""
        if campaign.startswith("c_"):
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
    ) -> None:
        """Say what became of acts that nobody knows the end of, and what is to become of the trial."""
        body: dict[str, JsonValue] = {"answer": answer, "then": then, "because": because}
        self._ask(models.Done, "POST", f"/campaigns/{campaign}/trials/{trial}/answer", body)

    def judge(self, campaign: str, trial: int, quality: Quality, *, because: str) -> None:
        """Say whether the result of a trial can be trusted."""
        body: dict[str, JsonValue] = {"quality": quality.value, "because": because}
        self._ask(models.Done, "POST", f"/campaigns/{campaign}/trials/{trial}/verdict", body)

    def comment(self, campaign: str, text: str, trial: int | None = None) -> None:
        """Put something on record."""
        self._ask(models.Done, "POST", f"/campaigns/{campaign}/comments", {"text": text, "trial": trial})

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
        with self._reached(), self._http.stream("GET", "/events", params=chosen, timeout=None) as answer:
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
        with self._reached():
            return _read(kind, self._http.get(path, params=query))

    def _ask(self, kind: type[V], method: str, path: str, body: dict[str, JsonValue]) -> V:
        with self._reached():
            return _read(kind, self._http.request(method, path, json=body))

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


def _read(kind: type[V], answer: httpx.Response) -> V:
    if not answer.is_success:
        _raise(answer)
    return kind.from_json(answer.content)


def _raise(answer: httpx.Response) -> NoReturn:
    try:
        said = models.Problem.from_json(answer.content)
    except ProblemError:
        raise TransportError(f"the server answered {answer.status_code}", hint="is it a server of sdl?") from None
    raise _ERRORS.get(answer.status_code, LabError)(said.detail, hint=said.hint)
