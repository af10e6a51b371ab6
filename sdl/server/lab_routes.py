"""The routes of the laboratory, and of who may do what: stations, stock, alarms, the inbox, live events, users."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from sdl.errors import LabError
from sdl.journal.envelope import software_version
from sdl.journal.records import Body
from sdl.lab import Ledger
from sdl.server import asked, looking, models, premises
from sdl.server.house import House, Missing
from sdl.server.identities import Identity, Role, digest_of, new_token
from sdl.server.routing import Routes, Who, json_of
from sdl.server.stream import Newsroom
from sdl.server.task_routes import task_infos
from sdl.server.timeline import timeline_of
from sdl.server.urgent import Urgent

StationName = Annotated[str, Field(max_length=200)]
When = Annotated[dt.datetime | None, Query()]

Reason = Annotated[asked.Because, json_of(asked.Because)]


class TooManyLines(LabError):
    """Nobody more may watch now."""


def lab_routes(house: House, newsroom: Newsroom) -> Routes:
    """Return the routes of the laboratory."""
    routes = Routes("laboratory")
    _self(routes, house)
    _premises(routes, house)
    _stopping(routes, house)
    _inbox(routes, house)
    _events(routes, house, newsroom)
    _users(routes, house)
    return routes


def _self(routes: Routes, house: House) -> None:
    @routes.get("/health")
    def get_health() -> models.Health:
        """Say that the server answers."""
        return models.Health()

    described: list[bytes] = []  # it takes a tenth of a second to write down, and stays the same

    @routes.get("/openapi.json", include_in_schema=False)
    def get_openapi(request: Request) -> Response:
        """Return what there is to ask, as OpenAPI describes it."""
        if not described:
            app: FastAPI = request.app
            described.append(json.dumps(app.openapi(), ensure_ascii=False).encode())
        return Response(described[0], media_type="application/json")

    @routes.get("/me", Role.READ)
    def get_me(who: Who) -> models.Me:
        """Say who you are here, and what you may do."""
        return models.Me(
            name=who.name,
            kind=who.kind,
            roles=who.roles,
            groups=who.groups,
            autonomy=who.autonomy,
            lab=house.lab.name,
            version=software_version(),
        )


def _premises(routes: Routes, house: House) -> None:
    timeline = timeline_of(house)

    @routes.get("/lab", Role.READ)
    def get_lab(who: Who) -> models.LaboratoryInfo:
        """Return the laboratory, and what its stations do."""
        return premises.laboratory_info(house, who)

    @routes.get("/timeline", Role.READ)
    def get_timeline(who: Who, since: When = None, until: When = None, campaign: str | None = None) -> models.Timeline:
        """Return what the stations did, do, and are expected to do, and what waits for what."""
        return timeline(who, since, until, campaign)

    @routes.get("/stock", Role.READ)
    def get_stock(who: Who) -> models.StockInfo:
        """Return what is left, and where the samples are."""
        return premises.stock_info(house, who)

    @routes.post("/stock", Role.OPERATE)
    def book_stock(who: Who, body: Annotated[asked.StockEntry, json_of(asked.StockEntry)]) -> models.StockInfo:
        """Book what you have counted, added, cleared away or seen."""

        def bodies() -> Sequence[tuple[str, int | None, Body]]:
            ledger = Ledger.of(house.journal)
            return [(premises.campaign_of(ledger, each), None, each) for each in premises.stock_bodies(ledger, body)]

        house.book(who, bodies)
        return premises.stock_info(house, who)

    @routes.get("/alarms", Role.READ)
    def get_alarms(who: Who) -> models.Alarms:
        """Return what is latched, and what has tripped."""
        return premises.alarms(house, who)


def _stopping(routes: Routes, house: House) -> None:
    urgent = Urgent()

    @routes.post("/stations/{station}/rearm", Role.OPERATE)
    def rearm_station(station: StationName, who: Who, body: Reason) -> models.Alarms:
        """Let steps start again on a station that an interlock has latched. Nothing moves by this."""
        house.rearm(who, station, body.because)
        return premises.alarms(house, who)

    @routes.post("/stations/{station}/abort", Role.OPERATE)
    async def abort_station(station: StationName, who: Who, body: Reason) -> models.Done:
        """Abort the step that runs on a station."""
        await urgent.do(lambda: house.abort_station(who, station, body.because))
        return models.Done(done=f"aborted what runs on {station}")

    @routes.post("/stop", Role.OPERATE)
    async def stop_everything(who: Who, body: Reason) -> models.Done:
        """Stop every device at once, and end every campaign that runs. No safety function: see the documentation."""
        n = await urgent.do(lambda: house.abort_everything(who, body.because))
        return models.Done(done=f"told every device to stop, and ended {n} campaigns")


def _inbox(routes: Routes, house: House) -> None:
    @routes.get("/inbox", Role.READ)
    def get_inbox(who: Who) -> models.Inbox:
        """Return what waits for a person: approvals, unknown acts, tasks, latches, shortages."""
        known = premises.seen(house, who)
        running = house.running
        approvals: list[models.ApprovalInfo] = []
        unknown: list[models.UnknownTrial] = []
        for name, each in known.items():
            found, trials = house.look(
                each,
                lambda view, each=each, name=name: (  # type: ignore[misc] # bound now
                    [looking.approval_info(each, view, request, who) for request in looking.open_approvals(view)],
                    looking.unknown_trials(each, view, who, is_running=name in running),
                ),
            )
            approvals += found
            unknown += trials
        return models.Inbox(
            approvals=tuple(sorted(approvals, key=lambda each: each.asked_at)),
            unknown=tuple(unknown),
            latches=tuple(premises.latch_infos(house, who)),
            shortages=house.look_at_stock(lambda ledger: tuple(premises.shortages(ledger, known))),
            tasks=tuple(task_infos(house, who, known)),
        )


def _events(routes: Routes, house: House, newsroom: Newsroom) -> None:
    @routes.get("/events", Role.READ, response_class=StreamingResponse)
    async def watch_events(
        who: Who,
        after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        campaign: str | None = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """Watch what happens, as server-sent events. Last-Event-ID, or ``after``, resumes."""
        name = None if campaign is None else (await asyncio.to_thread(house.dossier, campaign, who)).name
        if not newsroom.has_room(who):
            raise TooManyLines("too many watch already", hint="close some of your lines")
        if last_event_id is not None and last_event_id.isdecimal():
            after = int(last_event_id[:16])
        return StreamingResponse(newsroom.watch(who, name, after), media_type="text/event-stream")


def _users(routes: Routes, house: House) -> None:
    @routes.get("/users", Role.ADMIN)
    def list_users() -> models.UserList:
        """Return who may do what."""
        return models.UserList(users=tuple(map(_user, house.users.read().identities)))

    @routes.post("/users", Role.ADMIN, status_code=201)
    def add_user(_who: Who, body: Annotated[asked.NewUser, json_of(asked.NewUser)]) -> models.UserInfo:
        """Make an identity. Its token is in the answer, and never shown again."""
        token = new_token()
        made = Identity(
            name=body.name,
            roles=body.roles,
            kind=body.kind,
            groups=body.groups,
            autonomy=body.autonomy,
            token=digest_of(token),
        )
        house.users.add(made)
        return _user(made).replace(token=token)

    @routes.delete("/users/{name}", Role.ADMIN)
    def remove_user(name: StationName, _who: Who) -> models.Done:
        """Remove an identity: its token opens nothing from now on."""
        if name not in {each.name for each in house.users.read().identities}:
            raise Missing(f"there is no user {name!r}")
        house.users.remove(name)
        return models.Done(done=f"{name} is nobody here any more")


def _user(identity: Identity) -> models.UserInfo:
    return models.UserInfo(
        name=identity.name,
        kind=identity.kind,
        roles=identity.roles,
        groups=identity.groups,
        autonomy=identity.autonomy,
    )
