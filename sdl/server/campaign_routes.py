"""The routes of campaigns: handing in, ordering, trials, results, approvals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from pydantic import Field

from sdl.campaign.autonomy import Autonomy, answer_bodies, open_request
from sdl.campaign.planner import TrialState
from sdl.campaign.recovery import resolution
from sdl.campaign.view import CampaignView
from sdl.errors import AccessError, CampaignError
from sdl.export.tables import csv_text
from sdl.journal.acts import ActResolved
from sdl.journal.orders import Visibility
from sdl.journal.records import Body, Comment, TrialUnknown
from sdl.journal.trust import Finding, TrialJudged, Verdict
from sdl.server import asked, looking, models
from sdl.server.columns import Columns
from sdl.server.dossiers import ORDERS, Dossier, State
from sdl.server.house import House, Missing, Place
from sdl.server.identities import Identity, Role
from sdl.server.rehearsal import Rehearsal
from sdl.server.routing import Routes, Who, json_of
from sdl.server.slicing import Slicer
from sdl.server.stream import event_infos
from sdl.server.urgent import Urgent

ANY = (Role.SUBMIT, Role.OPERATE, Role.APPROVE)

Number = Annotated[int, Field(ge=1, le=10_000_000)]
After = Annotated[int, Query(ge=0, le=2**53)]
Limit = Annotated[int, Query(ge=1, le=1000)]


def campaign_routes(house: House) -> Routes:
    """Return the routes of campaigns."""
    routes = Routes("campaigns")
    _collection(routes, house)
    _one(routes, house)
    _orders(routes, house)
    _trials(routes, house)
    _results(routes, house)
    _approvals(routes, house)
    return routes


def info(house: House, dossier: Dossier, who: Identity) -> models.CampaignInfo:
    """Return how a campaign stands, for *who*."""
    running = house.running
    queue = [each.name for each in house.queue()]
    held = {"resume"} if dossier.is_held_from(who) else set[str]()
    orders = tuple(order for order in ORDERS[dossier.state(running)] if order not in held)
    return house.look(
        dossier,
        lambda view: looking.campaign_info(
            dossier,
            view,
            who,
            running=running,
            position=queue.index(dossier.name) + 1 if dossier.name in queue else None,
            orders=orders,
            autonomy=autonomy_of(dossier, view),
        ),
    )


def autonomy_of(dossier: Dossier, view: CampaignView) -> Autonomy:
    """Return how much a campaign may do without asking: before it begins, as was settled at the door."""
    if view.approvals.autonomy is not None or view.opened is not None:
        return Autonomy.recorded(view.approvals.autonomy)
    level = dossier.settings.get("level")
    return Autonomy().replace(level=level if isinstance(level, int) else 4)


def _collection(routes: Routes, house: House) -> None:
    @routes.get("/campaigns", Role.READ)
    def list_campaigns(who: Who, state: State | None = None) -> models.Campaigns:
        """Return the campaigns that you may see, newest first."""
        found = [info(house, each, who) for each in reversed(house.seen_by(who))]
        return models.Campaigns(campaigns=tuple(each for each in found if state in {None, each.state}))

    @routes.post("/campaigns", Role.SUBMIT, status_code=201)
    def submit_campaign(
        who: Who, body: Annotated[asked.Submission, json_of(asked.Submission)], response: Response
    ) -> models.CampaignInfo:
        """Hand a campaign in. It is checked, rehearsed, kept, and queued if it is to start."""
        dossier = house.submit(who, body.file, start=body.start, priority=body.priority, visibility=body.visibility)
        response.headers["Location"] = f"/api/v1/campaigns/{dossier.id}"
        return info(house, dossier, who)

    @routes.post("/rehearsals", Role.SUBMIT)
    def rehearse_campaign(_who: Who, body: Annotated[asked.FileOnly, json_of(asked.FileOnly)]) -> Rehearsal:
        """Say what a campaign would take. Nothing is kept."""
        return house.rehearse(body.file)[1]


def _one(routes: Routes, house: House) -> None:
    @routes.get("/campaigns/{campaign}", Role.READ)
    def get_campaign(campaign: str, who: Who) -> models.CampaignInfo:
        """Return how a campaign stands."""
        return info(house, house.dossier(campaign, who), who)

    @routes.get("/campaigns/{campaign}/file", Role.READ)
    def get_campaign_file(campaign: str, who: Who) -> asked.FileOnly:
        """Return the campaign file, as it was handed in."""
        return asked.FileOnly(file=house.dossier(campaign, who).submitted.file)

    @routes.get("/campaigns/{campaign}/problem", Role.READ)
    def get_problem(campaign: str, who: Who) -> models.ProblemInfo:
        """Return the parameters, the objectives and the constraints."""
        return house.look(house.dossier(campaign, who), lambda view: looking.problem_info(looking.begun(view)))

    @routes.get("/campaigns/{campaign}/events", Role.READ)
    def list_campaign_events(campaign: str, who: Who, after: After = 0, limit: Limit = 500) -> models.Events:
        """Return the events of a campaign, without bluesky documents."""
        dossier = house.dossier(campaign, who)
        found = event_infos(house, {dossier.name: dossier}, after, limit)
        return models.Events(events=tuple(found), next=found[-1].sequence if len(found) == limit else None)


def _orders(routes: Routes, house: House) -> None:
    urgent = Urgent()

    @routes.post("/campaigns/{campaign}/orders", Role.SUBMIT, Role.OPERATE)
    async def order_campaign(
        campaign: str,
        who: Who,
        body: Annotated[asked.Order, json_of(asked.Order)],
    ) -> models.CampaignInfo:
        """Order what is to become of a campaign: your own, or with the role operate any."""

        def ordered() -> models.CampaignInfo:
            dossier = _own(house, campaign, who, Role.OPERATE)
            return info(house, house.order(who, dossier, body.order, body.because), who)

        return await (urgent.do(ordered) if body.order == "abort" else run_in_threadpool(ordered))

    @routes.put("/campaigns/{campaign}/visibility", Role.SUBMIT, Role.ADMIN)
    def set_visibility(
        campaign: str,
        who: Who,
        body: Annotated[Visibility, json_of(Visibility)],
    ) -> models.CampaignInfo:
        """Say who may see your campaign; with the role admin, any."""
        return info(house, house.share(who, _own(house, campaign, who, Role.ADMIN), body), who)

    @routes.put("/campaigns/{campaign}/autonomy", Role.SUBMIT, Role.APPROVE)
    def set_autonomy(
        campaign: str,
        who: Who,
        body: Annotated[asked.AutonomyOrder, json_of(asked.AutonomyOrder)],
    ) -> models.CampaignInfo:
        """Say how much a campaign may do without asking. Its owner may lower the level; raising it takes approve."""
        dossier = _own(house, campaign, who, Role.APPROVE)
        wanted = Autonomy(body.level, envelope=body.envelope, budget=body.budget)
        if not who.may([Role.APPROVE]):
            before = house.look(dossier, lambda view: autonomy_of(dossier, view))
            if wanted.level >= before.level:
                raise AccessError(
                    f"{who.name} may lower the level of autonomy, and this is {before.level} to {wanted.level}",
                    hint="somebody with the role approve may raise it, or change envelope and budget",
                )
        house.set_autonomy(who, dossier, wanted, body.because)
        return info(house, dossier, who)

    @routes.post("/campaigns/{campaign}/comments", *ANY)
    def comment(
        campaign: str,
        who: Who,
        body: Annotated[asked.CommentOrder, json_of(asked.CommentOrder)],
    ) -> models.Done:
        """Put something on record."""
        dossier = house.dossier(campaign, who)
        if body.trial is not None:
            house.look(dossier, lambda view: looking.begun(view).record(body.trial or 0))
        house.book(who, lambda: [(dossier.name, body.trial, Comment(text=body.text))])
        return models.Done(done="it is on record")


def _own(house: House, campaign: str, who: Identity, role: Role) -> Dossier:
    """Return the campaign. Raises AccessError where it is not theirs, and they do not have the *role*."""
    dossier = house.dossier(campaign, who)
    is_mine = dossier.owner == who.name and who.may([Role.SUBMIT])
    if not (is_mine or who.may([role])):
        raise AccessError(
            f"campaign {dossier.name} belongs to {dossier.owner}",
            hint=f"{dossier.owner} can do that, or somebody with the role {role}",
        )
    return dossier


def _trials(routes: Routes, house: House) -> None:
    @routes.get("/campaigns/{campaign}/trials", Role.READ)
    def list_trials(
        campaign: str,
        who: Who,
        after: After = 0,
        limit: Limit = 200,
        state: TrialState | None = None,
    ) -> models.Trials:
        """Return the trials, oldest first."""
        wanted = None if state is None else state.value
        return house.look(house.dossier(campaign, who), lambda view: looking.trials_page(view, after, limit, wanted))

    @routes.get("/campaigns/{campaign}/trials/{trial}", Role.READ)
    def get_trial(campaign: str, trial: Number, who: Who) -> models.TrialInfo:
        """Return a trial, the decision behind it, its steps and its acts."""
        dossier = house.dossier(campaign, who)
        return house.look(dossier, lambda view: looking.trial_info(_has(view, trial), house.journal, trial))

    @routes.post("/campaigns/{campaign}/trials/{trial}/verdict", Role.APPROVE)
    def judge_trial(
        campaign: str,
        trial: Number,
        who: Who,
        body: Annotated[asked.VerdictOrder, json_of(asked.VerdictOrder)],
    ) -> models.Done:
        """Say whether the result of a trial can be trusted."""
        house.tell(who, house.dossier(campaign, who), lambda view: _verdict(_has(view, trial), trial, who, body))
        return models.Done(done=f"trial {trial} is {body.quality.value}")

    @routes.post("/campaigns/{campaign}/trials/{trial}/answer", Role.OPERATE)
    def answer_trial(
        campaign: str,
        trial: Number,
        who: Who,
        body: Annotated[asked.ActReply, json_of(asked.ActReply)],
    ) -> models.Done:
        """Say what became of acts that nobody knows the end of, and what is to become of the trial."""
        dossier = house.dossier(campaign, who)
        is_running = dossier.name in house.running
        house.tell(who, dossier, lambda view: _answer(_has(view, trial), trial, who, body, is_running=is_running))
        return models.Done(done=f"what you said of trial {trial} is on record")


def _has(view: CampaignView, number: int) -> CampaignView:
    """Return *view*. Raises :class:`Missing` where it has no such trial."""
    if not 1 <= number <= view.n_proposed:
        raise Missing(f"campaign {view.name} has no trial {number}", hint=f"it has {view.n_proposed}")
    return view


def _verdict(view: CampaignView, number: int, who: Identity, body: asked.VerdictOrder) -> list[Place]:
    record = view.record(number)
    if record.observation is None:
        raise CampaignError(f"trial {number} is {record.state.value}: it has no result to judge")
    finding = Finding(source=who.name, quality=body.quality, text=body.because)
    verdict = Verdict(body.quality, findings=(finding,), checked=record.verdict.checked)
    return [(number, [TrialJudged(verdict=verdict)])]


def _answer(view: CampaignView, number: int, who: Identity, body: asked.ActReply, *, is_running: bool) -> list[Place]:
    record = view.record(number)
    states = {TrialState.UNKNOWN} if is_running else {TrialState.UNKNOWN, TrialState.RUNNING}
    if record.state not in states:
        raise CampaignError(f"trial {number} is {record.state.value}: there is nothing to answer")
    bodies: list[Body] = []
    if body.answer is not None:
        acts = [act for act in view.trace(number).unknown if body.act in {None, act.act}]
        if not acts:
            raise CampaignError(f"trial {number} has no act {body.act or 'that nobody knows of'}", hint="say then:")
        bodies += [ActResolved(act=act.act, answer=body.answer, evidence=body.because) for act in acts]
    if body.then is not None:
        because = record.reason or "the process that ran it is gone"
        if record.state is TrialState.RUNNING:
            bodies.append(TrialUnknown(attempt=record.attempts, reason=because))
        bodies += resolution(body.then, f"{who.name}: {body.because}", because)
    if not bodies:
        raise CampaignError("the answer says nothing", hint="say answer: or then:")
    return [(number, bodies)]


def _results(routes: Routes, house: House) -> None:
    slicer = Slicer(house)
    columns: dict[str, Columns] = {}

    @routes.get("/campaigns/{campaign}/slices", Role.READ)
    def get_slices(campaign: str, who: Who) -> models.Slices:
        """Return what the planner's model says around the best trial."""
        return slicer.slices(house.dossier(campaign, who))

    @routes.get("/campaigns/{campaign}/progress", Role.READ)
    def get_progress(campaign: str, who: Who, after: After = 0) -> models.Progress:
        """Return the trials as columns, for plots."""
        dossier = house.dossier(campaign, who)
        kept = columns.setdefault(dossier.name, Columns())
        return house.look(dossier, lambda view: kept.after(looking.begun(view), after))

    @routes.get("/campaigns/{campaign}/table", Role.READ)
    def get_table(campaign: str, who: Who) -> models.ResultsTable:
        """Return the results, failures included."""
        return house.look(house.dossier(campaign, who), lambda view: looking.table(looking.begun(view)))

    @routes.get("/campaigns/{campaign}/table.csv", Role.READ, response_class=PlainTextResponse)
    def get_csv(campaign: str, who: Who) -> Response:
        """Return the results as a CSV file."""
        text = house.look(house.dossier(campaign, who), lambda view: csv_text(looking.begun(view)))
        headers = {"Content-Disposition": 'attachment; filename="trials.csv"'}
        return Response(text.encode(errors="backslashreplace"), media_type="text/csv", headers=headers)


def _approvals(routes: Routes, house: House) -> None:
    @routes.get("/campaigns/{campaign}/approvals", Role.READ)
    def list_approvals(campaign: str, who: Who) -> models.ApprovalList:
        """Return every request for approval of a campaign, newest first."""
        dossier = house.dossier(campaign, who)
        return models.ApprovalList(
            approvals=house.look(
                dossier,
                lambda view: tuple(
                    looking.approval_info(dossier, view, each, who)
                    for each in reversed([*view.approvals.requests.values()])
                ),
            )
        )

    @routes.post("/campaigns/{campaign}/approvals/{trial}", Role.APPROVE)
    def answer_approval(
        campaign: str,
        trial: Number,
        who: Who,
        body: Annotated[asked.ApprovalReply, json_of(asked.ApprovalReply)],
    ) -> models.ApprovalInfo:
        """Approve or refuse the trials of a request, which is named by the first of them."""
        dossier = house.dossier(campaign, who)
        request = f"{dossier.name}/{trial}"

        def answer(view: CampaignView) -> Sequence[Place]:
            if request not in view.approvals.requests:
                raise Missing(f"there is no request for trial {trial}", hint="ask for the approvals of the campaign")
            open_request(view, request)
            return answer_bodies(view, request, body.answer, by=who.name, because=body.because)

        house.tell(who, dossier, answer)
        return house.look(
            dossier,
            lambda view: looking.approval_info(dossier, view, view.approvals.requests[request], who),
        )
