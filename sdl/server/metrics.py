"""Metrics in the form of Prometheus, of the campaigns that whoever asks may see."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from fastapi import Response
from fastapi.responses import PlainTextResponse

from sdl.campaign.planner import TrialState
from sdl.errors import LabError
from sdl.server import models, premises
from sdl.server.campaign_routes import info
from sdl.server.house import House
from sdl.server.identities import Role
from sdl.server.routing import Routes, Who
from sdl.server.stream import Newsroom

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def metrics_routes(house: House, newsroom: Newsroom) -> Routes:
    """Return the route of the metrics."""
    routes = Routes("laboratory")

    @routes.get("/metrics", Role.READ, response_class=PlainTextResponse)
    def get_metrics(who: Who) -> Response:
        """Return metrics for Prometheus, of the campaigns that you may see."""
        found = [info(house, each, who) for each in house.seen_by(who)]
        text = exposition(found, premises.laboratory_info(house, who), newsroom.n_watchers)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes


STATES = ("submitted", "queued", "running", "pausing", "paused", "finished", "stopped", "aborted", "cancelled", "error")


def exposition(campaigns: Iterable[models.CampaignInfo], lab: models.LaboratoryInfo, n_watchers: int) -> bytes:
    """Return the metrics as text.

    Raises :class:`~sdl.errors.LabError` where prometheus_client lacks.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 # an extra
        from prometheus_client.registry import Collector  # noqa: PLC0415 # an extra
    except ModuleNotFoundError as error:
        raise LabError(f"metrics need {error.name}", hint="pip install 'sdl[telemetry]'") from None
    found = [*campaigns]

    class Look(Collector):
        """What there is to see now."""

        def collect(self) -> Generator[Metric]:
            yield from _of_campaigns(found)
            yield from _of_laboratory(lab, n_watchers)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Look())
    return generate_latest(registry)


def _of_campaigns(found: Iterable[models.CampaignInfo]) -> Generator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415 # an extra

    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"sdl_{name}", text, labels=["campaign", *labels])

    state = gauge("campaign_state", "1 for the state that a campaign is in.", "state")
    trials = gauge("trials", "Trials of a campaign by state.", "state")
    best = gauge("best", "Outcomes of the best trial, of campaigns with one objective.", "outcome", "unit")
    cost = gauge("campaign_cost", "What a campaign has cost, in its own unit.")
    seconds = gauge("campaign_lab_seconds", "Seconds of the laboratory that a campaign has used.")
    left = gauge("campaign_left_seconds", "Seconds that a campaign is expected to take yet.")
    last = gauge("campaign_last_event_timestamp_seconds", "When something was last recorded of a campaign.")
    approvals = gauge("approvals_open", "Requests for approval that wait.")
    for each in found:
        for name in STATES:
            state.add_metric([each.name, name], float(each.state == name))
        for kind in TrialState:
            trials.add_metric([each.name, kind.value], float(each.counts.get(kind.value, 0)))
        for outcome, measured in each.best[0].outcomes.items() if len(each.best) == 1 else ():
            best.add_metric([each.name, outcome, measured.unit or ""], measured.value)
        cost.add_metric([each.name], each.cost)
        seconds.add_metric([each.name], each.lab_seconds)
        approvals.add_metric([each.name], float(each.n_approvals))
        if each.seconds_left is not None:
            left.add_metric([each.name], each.seconds_left)
        if each.last_event_at is not None:
            last.add_metric([each.name], each.last_event_at.timestamp())
    yield from (state, trials, best, cost, seconds, left, last, approvals)


def _of_laboratory(lab: models.LaboratoryInfo, n_watchers: int) -> Generator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 # an extra

    stations = GaugeMetricFamily("sdl_station_state", "1 for the state of a station.", labels=["station", "state"])
    for each in lab.stations:
        for name in ("idle", "working", "latched"):
            stations.add_metric([each.name, name], float(each.state == name))
    yield stations
    yield GaugeMetricFamily("sdl_engine_up", "1 while campaigns can run.", value=float(lab.engine == "running"))
    yield CounterMetricFamily("sdl_journal_events", "Events in the journal.", value=float(lab.head.sequence))
    yield GaugeMetricFamily("sdl_watchers", "Lines on which somebody watches.", value=float(n_watchers))
