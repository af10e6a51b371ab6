"""The report: one page that needs nothing else, and its figures as files beside it."""

from __future__ import annotations

import base64
import hashlib
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path

import jinja2

from sdl.campaign.planner import Explainer, Predictor, TrialState
from sdl.campaign.trials import Trial
from sdl.campaign.view import CampaignView
from sdl.export import beliefs, figures, sheets, slices, timeline, tradeoff, trust
from sdl.export.account import Account
from sdl.export.drawing import Picture
from sdl.export.scales import is_logarithmic, told
from sdl.export.sheets import Sheet
from sdl.export.still import StillView
from sdl.export.tables import has_trade_off, value_of, winners, write_whole
from sdl.export.words import (
    count,
    duration,
    in_unit,
    measurement,
    minute,
    number,
    setting,
    several,
    shortened,
)
from sdl.journal.protocol import Journal
from sdl.journal.records import Prediction
from sdl.problem import Maximize, Minimize, Objective


@dataclass(frozen=True)
class Fact:
    """A tile at the top: what it is, its value, and a line below."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    words: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    sheets: Sequence[Sheet | None] = ()

    @property
    def tables(self) -> list[Sheet]:
        """The tables that there are."""
        return [sheet for sheet in self.sheets if sheet is not None]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.words or self.pictures or self.tables)


def write_report(
    view: CampaignView, path: Path | str, *, predictor: Predictor | None = None, journal: Journal | None = None
) -> list[Path]:
    """Write the report of *view* as an HTML page at *path*, and its figures as PNG files next to it.

    The page holds its figures and its style, loads nothing and runs nothing. The same view gives the same bytes.

    Parameters
    ----------
    view
        The campaign.
    path
        The page. Its figures are called ``STEM-progress-trials.png`` and so on.
    predictor
        Draws what the model believes around the best trial. What it raises is told on the page.
    journal
        The journal of the campaign: adds sessions, stations, seed data, comments, and the hash to verify against.

    Returns
    -------
    list of Path
        The files written, the page first.
    """
    page = Path(path)
    view = StillView.of_view(view)
    account = Account.of(view, journal)
    belief, trouble = _believed(view, predictor)
    tables = _model_tables(view, predictor)
    floor = timeline.pictures(view, account, journal)
    sections = [s for s in _sections(view, account, belief, trouble, tables, floor=floor) if not s.is_empty]
    pictures = [picture for section in sections for picture in section.pictures]
    html = _render(view, _answer(view, belief), _facts(view, account), sections)
    written = [write_whole(page, html.encode(errors="xmlcharrefreplace"))]
    written += [write_whole(page.with_name(f"{page.stem}-{picture.key}.png"), picture.png) for picture in pictures]
    return written


def _believed(view: CampaignView, predictor: Predictor | None) -> tuple[slices.Belief | None, str]:
    """Ask the predictor; what it raises becomes a sentence: a report must come out whatever a planner does."""
    if predictor is None:
        return None, ""
    try:
        return slices.belief(view, predictor), ""
    except Exception as error:  # noqa: BLE001 # the border to the planner, which may be anybody's
        return None, f"The model could not be drawn: {type(error).__name__}: {shortened(str(error), 300)}"


def _model_tables(view: CampaignView, predictor: Predictor | None) -> list[Sheet | None]:
    """Ask the planner what its models are like, where it can say so; what it raises was told already."""
    if not isinstance(predictor, Explainer):
        return []
    try:
        models = predictor.explain(view.problem, view.history)
    except Exception:  # noqa: BLE001 # the border to the planner, which may be anybody's
        return []
    return [beliefs.trust(view, models), beliefs.sensitivity(models)]


# --- the answer -------------------------------------------------------------------------------------------------------


def _answer(view: CampaignView, belief: slices.Belief | None) -> list[str]:
    """The answer in one sentence, and how sure it is in the next."""
    front = winners(view)
    if not front:
        return [_no_answer(view)]
    if has_trade_off(view):
        return [_trade_off(view, front)]
    best, objective = front[0], view.problem.objectives[0]
    value = _unbroken(measurement(value_of(best, objective)))
    sentences = [f"{_superlative(best, objective)} {value}, at {_settings(view, best)}."]
    predicted = best.decision.predicted.get(objective.outcome)
    if predicted is not None:
        sentences.append(f"Before it ran, the planner expected {_expectation(view, predicted, objective)}.")
    if belief is not None and belief.centre.number == best.number:
        now = _expectation(view, belief.at_centre[objective.outcome], objective)
        sentences.append(f"With all that has been measured since, its model says {now} there.")
    return sentences


def _expectation(view: CampaignView, predicted: Prediction, objective: Objective) -> str:
    is_log = is_logarithmic(view, objective.outcome, (predicted,))
    return _unbroken(told(predicted, objective.unit, is_log=is_log))


def _superlative(best: Trial, objective: Objective) -> str:
    match objective:
        case Minimize():
            return f"Trial {best.number} gave the lowest {objective.outcome}:"
        case Maximize():
            return f"Trial {best.number} gave the highest {objective.outcome}:"
        case _:
            wanted = sheets.target_of(objective.range, objective.unit)
            return f"Trial {best.number} came nearest to a {objective.outcome} of {wanted}:"


def _settings(view: CampaignView, trial: Trial) -> str:
    fixed = view.problem.space.fixed
    chosen = {name: setting(value, view.units[name]) for name, value in trial.values.items() if name not in fixed}
    return several([_unbroken(f"{name} {value}") for name, value in chosen.items()])


def _unbroken(text: str) -> str:
    """Keep a short text on one line: a number stays with its error and its unit."""
    return text.replace(" ", "\u00a0") if len(text) < 40 else text


def _trade_off(view: CampaignView, front: Sequence[Trial]) -> str:
    ranges: list[str] = []
    for objective in view.problem.objectives:
        values = [value_of(trial, objective).value for trial in front]
        low, high = number(min(values), 3), number(max(values), 3)
        span = low if low == high else f"{low} to {high}"
        ranges.append(f"{objective.outcome} {in_unit(span, objective.unit)}")
    whole = count(view.counts[TrialState.COMPLETED], "completed trial")
    verb = "is" if len(front) == 1 else "are"
    return f"{len(front)} of {whole} {verb} on the Pareto front, with {several(ranges)}."


def _no_answer(view: CampaignView) -> str:
    completed, failed = view.counts[TrialState.COMPLETED], view.counts[TrialState.FAILED]
    if completed:
        return f"None of {count(completed, 'completed trial')} keeps the outcome constraints."
    if failed:
        return f"There is no result yet: {count(failed, 'trial')} failed, and none was completed."
    return "There is no result yet."


def _facts(view: CampaignView, account: Account) -> list[Fact]:
    counts = view.counts
    others = [
        f"{counts[state]} {state.value}" for state in TrialState if counts[state] and state is not TrialState.COMPLETED
    ]
    n_sessions = len(account.sessions) or view.session
    found = [
        Fact("Trials", f"{view.n_proposed:,}", several([f"{counts[TrialState.COMPLETED]} completed", *others])),
        Fact("Laboratory time", duration(view.lab_seconds), f"in {count(n_sessions, 'session')}"),
        Fact("Planner", str(view.planner.get("name", "unknown")), f"seed {view.seed}"),
        Fact("State", *_state(view)),
    ]
    if any(account.planner_waits):
        median, most = statistics.median(account.planner_waits), max(account.planner_waits)
        found.insert(
            3, Fact("Waited for the planner", duration(median), f"a trial in the median, {duration(most)} at most")
        )
    if view.cost:
        found.insert(2, Fact("Cost", number(view.cost), "in the campaign's unit"))
    return found


def _state(view: CampaignView) -> tuple[str, str]:
    if view.is_session_open:
        return "running", "or cut off: the last session has no end"
    return (view.ended.status, shortened(view.ended.reason, 90)) if view.ended else ("not begun", "")


# --- the sections -----------------------------------------------------------------------------------------------------


def _sections(
    view: CampaignView,
    account: Account,
    belief: slices.Belief | None,
    trouble: str,
    tables: Sequence[Sheet | None],
    *,
    floor: Sequence[Picture],
) -> list[Section]:
    has_trials = view.n_proposed > 0
    model = slices.pictures(view, belief) if belief is not None else []
    centre = slices.centre_of(view)
    return [
        Section(
            "progress",
            "Progress",
            [_progress_words(view, account)] if has_trials else ["No trial has been proposed yet."],
            figures.progress(view, account) if has_trials else [],
        ),
        Section("trade-off", "Trade-off", (), [*tradeoff.pareto(view), *tradeoff.growth_picture(view)]),
        Section("model", "What the model believes", _model_words(view, belief, trouble), model, tables),
        Section("calibration", "Was the planner right?", (), figures.calibration(view)),
        Section("quality", "Can the data be trusted?", trust.words_of(view), trust.charts(view), [trust.doubts(view)]),
        Section("trials", "Trials", (), (), [sheets.trials(view) if has_trials else None]),
        Section("failures", "Failures", _planner_trouble(account), (), [sheets.failures(view)]),
        Section(
            "decisions",
            "Why these trials",
            (),
            (),
            [
                sheets.runners_up(view, centre) if centre is not None else None,
                sheets.decisions(view) if has_trials else None,
            ],
        ),
        Section(
            "laboratory", "Laboratory", (), [*floor, *figures.stations(view, account)], [sheets.stations(view, account)]
        ),
        Section("question", "What was asked", (), (), [sheets.parameters(view), sheets.wishes(view)]),
        Section("seeds", "Data it started from", _seed_words(view, account), (), [sheets.seeds(account)]),
        Section("comments", "Comments", (), (), [sheets.comments(account)]),
        Section(
            "provenance",
            "Provenance",
            _verify_words(account),
            (),
            [sheets.provenance(view, account), sheets.sessions(account)],
        ),
    ]


def _progress_words(view: CampaignView, account: Account) -> str:
    n = figures.n_initial(view)
    words = "The line is the best so far; the star marks where it was reached."
    if view.counts[TrialState.FAILED]:
        words += " Crosses at the bottom are failed trials."
    if n:
        words += f" The first {count(n, 'trial')} (shaded) filled the space before there was a model."
    if account.head is None:
        words += " Laboratory time counts from the first proposal, because the journal was not at hand."
    return words


def _model_words(view: CampaignView, belief: slices.Belief | None, trouble: str) -> list[str]:
    if trouble:
        return [trouble]
    if belief is not None and has_trade_off(view):
        return [
            f"The slices go through trial {belief.centre.number}, the one on the Pareto front that is nearest to the "
            "best of every objective."
        ]
    return []


def _planner_trouble(account: Account) -> list[str]:
    if not account.planner_failures:
        return []
    last = account.planner_failures[-1]
    return [
        f"The planner failed {count(len(account.planner_failures), 'time')}, most recently with: "
        f"{shortened(last.error, 200)} (then: {last.action})."
    ]


def _seed_words(view: CampaignView, account: Account) -> list[str]:
    n = sum(entry.trial < 0 for entry in view.history.entries)
    if not n or account.seeds:
        return []
    return [f"The planner learned from {count(n, 'measurement')} made before. Their origin is in the journal."]


def _verify_words(account: Account) -> list[str]:
    if account.head is None:
        return ["Made without the journal at hand: sessions and hashes are not shown."]
    return [
        "Every event of the journal carries the hash of the one before it. To check that nothing was changed since, "
        "run sdl verify in the folder of the store, and compare the hash of the last event with the one below. "
        "Where the campaign has gone on, look for that hash among the earlier events."
    ]


# --- the page ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    source = resources.files("sdl.export").joinpath("templates", "report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    return environment.from_string(source)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@lru_cache(maxsize=1)
def _style() -> tuple[str, str]:
    """The style sheet, and its hash for the page's security policy: no other style may come in."""
    source = resources.files("sdl.export").joinpath("templates", "report.css").read_text(encoding="utf-8")
    css = re.sub(r"\s*\n\s*", "\n", source).strip()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return css, f"sha256-{digest}"


def _render(view: CampaignView, answer: Sequence[str], facts: Sequence[Fact], sections: Sequence[Section]) -> str:
    css, digest = _style()
    until = view.last_time or datetime.fromtimestamp(0, UTC)
    return _template().render(
        name=view.name,
        answer=answer,
        facts=facts,
        sections=sections,
        css=css,
        style_hash=digest,
        until=f"{minute(until)} UTC",
        n_trials=view.n_proposed,
    )
