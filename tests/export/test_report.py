"""The report: one page that stands alone, whatever happened in the campaign."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pytest
from recorded import FilmModel, Recorded, film_campaign, film_problem, two_objectives

from sdl.campaign.planner import History
from sdl.export import drawing, slices
from sdl.export.report import write_report
from sdl.journal.records import (
    Comment,
    Decision,
    FailureCategory,
    ParameterValue,
    Prediction,
    SessionEnded,
    SessionStarted,
    TrialProposed,
)
from sdl.problem import (
    AtMost,
    Categorical,
    Continuous,
    Discrete,
    LinearConstraint,
    Maximize,
    Measurement,
    Minimize,
    Mixture,
    OutcomeConstraint,
    Problem,
    SearchSpace,
    Target,
)

POINT: dict[str, ParameterValue] = {"oxygen": 0.1, "temperature": 300.0, "target": "Nb 6 %", "power": 100.0}
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """A page taken apart: every tag closed, every id once, every text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(campaign: Recorded, folder: Path, predictor: object = None, *, has_journal: bool = True) -> Page:
    """The page of *campaign*, with figures that are small and quick to draw."""
    journal = campaign.journal if has_journal else None
    path = folder / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "DPI", 40)
        write_report(campaign.view, path, predictor=predictor, journal=journal)  # type: ignore[arg-type] # wrong ones too
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorded, list[Path]]:
    """A campaign with everything in it, and the files of its report."""
    campaign = film_campaign()
    page = tmp_path_factory.mktemp("report") / "film.html"
    return campaign, write_report(campaign.view, page, predictor=FilmModel(), journal=campaign.journal)


Film = tuple[Recorded, list[Path]]


def html_of(film: Film) -> str:
    return film[1][0].read_text(encoding="utf-8")


# --- what a person reads ----------------------------------------------------------------------------------------------


def test_it_begins_with_the_answer(film: Film) -> None:
    page = Page(html_of(film))
    best = film[0].view.best
    assert best is not None
    assert best.observation is not None
    value = best.observation.outcomes["resistance"].value
    answer = re.search(r"Trial (\d+) gave the lowest resistance: ([\d.]+) ± [\d.]+ Ω, at oxygen [\d.]+ Pa,", page.text)
    assert answer is not None, page.text[:400]
    assert int(answer[1]) == best.number
    assert float(answer[2]) == pytest.approx(value, rel=0.01)
    assert "Before it ran, the planner expected" in page.text
    assert "With all that has been measured since, its model says" in page.text


def test_it_tells_failures_decisions_seeds_comments_and_sessions(film: Film) -> None:
    text = Page(html_of(film)).text
    for told in (
        "27 completed and 3 failed",
        "device in step deposit: plasma lost",
        "expected to improve on the best so far",
        "prior runs 4 made by the twin CC0-1.0",
        "The planner failed 1 time, most recently with: the matrix is singular (then: retry).",
        "mira changed the target after trial 14",
        "sputter deposit 30 3 1 d 21 h 75%",
        "bench-3",
        "python 3.11, sdl 0.1.0",
    ):
        assert told in text, told


def test_it_says_how_to_verify_it(film: Film) -> None:
    text = Page(html_of(film)).text
    number, head = film[0].journal.head
    assert f"events in the journal {number}" in text
    assert head in text
    assert film_problem().digest in text
    assert "sdl verify" in text


def test_several_objectives_give_a_front(tmp_path: Path) -> None:
    campaign = two_objectives()
    page = page_of(campaign, tmp_path)
    assert f"{len(campaign.view.pareto)} of 24 completed trials are on the Pareto front" in page.text
    assert {"report-pareto.png", "report-hypervolume.png"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        (Maximize("x", unit="V"), "gave the highest x: 3 V"),
        (Target("x", value=1.2, unit="V"), "came nearest to a x of 1.2 V: 1 V"),
        (Target("x", low=1.5, high=2.5, unit="V"), "came nearest to a x of 1.5 to 2.5 V: 2 V"),
    ],
)
def test_the_answer_fits_the_objective(objective: Maximize | Target, told: str, tmp_path: Path) -> None:
    campaign = Recorded(Problem(SearchSpace(dose=Continuous(0, 10)), objective))
    for dose in (3.0, 1.0, 2.0):
        campaign.complete({"dose": dose}, {"x": Measurement(dose, "V")})
    assert told in page_of(campaign, tmp_path).text


# --- whatever happened ------------------------------------------------------------------------------------------------


def test_no_trial(tmp_path: Path) -> None:
    text = page_of(Recorded(film_problem()), tmp_path, FilmModel()).text
    assert "There is no result yet." in text
    assert "No trial has been proposed yet." in text


def test_one_trial(tmp_path: Path) -> None:
    campaign = Recorded(film_problem())
    campaign.complete(POINT, {"resistance": Measurement(50.0, "ohm")})
    assert "Trial 1 gave the lowest resistance: 50 Ω" in page_of(campaign, tmp_path, FilmModel()).text


def test_one_trial_that_runs(tmp_path: Path) -> None:
    campaign = Recorded(film_problem())
    campaign.propose(POINT)
    text = page_of(campaign, tmp_path).text
    assert "There is no result yet." in text
    assert "0 completed and 1 running" in text


def test_only_failures(tmp_path: Path) -> None:
    campaign = Recorded(film_problem())
    for category in FailureCategory:
        campaign.fail(POINT, f"it broke: {category}", category=category)
    text = page_of(campaign, tmp_path, FilmModel()).text
    assert f"There is no result yet: {len(FailureCategory)} trials failed, and none was completed." in text
    assert all(f"it broke: {category}" in text for category in FailureCategory)


def test_nothing_feasible(tmp_path: Path) -> None:
    problem = Problem(SearchSpace(dose=Continuous(0, 1)), Maximize("x"), OutcomeConstraint("heat", upper=1.0))
    campaign = Recorded(problem)
    campaign.complete({"dose": 0.5}, {"x": Measurement(1.0, None), "heat": Measurement(2.0, None)})
    text = page_of(campaign, tmp_path).text
    assert "None of 1 completed trial keeps the outcome constraints." in text
    assert "breaks a constraint" in text


def test_a_thousand_trials_are_listed_in_part_and_say_so(tmp_path: Path) -> None:
    campaign = Recorded(Problem(SearchSpace(dose=Continuous(0, 1)), Minimize("x")))
    for number in range(1000):
        campaign.complete({"dose": number / 1000}, {"x": Measurement(abs(number - 100.0), None)})
    page = page_of(campaign, tmp_path)
    assert "151 of 1,000 trials are listed: the best and the latest." in page.text
    assert "Trial 101 gave the lowest x" in page.text
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


NAMES = ("<script>alert(1)</script>", "Sauerstoff µ 氧气", "$x_{1}$", "_hidden", "a & b \"c\" 'd'")


@pytest.mark.parametrize("name", ["<script>alert(2)</script>", "_$µ_{氧}"])
def test_names_are_text_and_nothing_else(name: str, tmp_path: Path) -> None:
    space = SearchSpace({NAMES[0]: Continuous(0, 1), NAMES[2]: Continuous(0, 1), "kind": Categorical((name, *NAMES))})
    campaign = Recorded(Problem(space, Minimize(name)), name)
    point = {NAMES[0]: 0.2, NAMES[2]: 0.3}
    decision = Decision(
        planner=name,
        version="1",
        seed=1,
        n_observed=0,
        n_pending=0,
        note=name,
        predicted={name: Prediction(1.0, 0.1)},
    )
    campaign.complete({**point, "kind": name}, {name: Measurement(1.0, None)}, decision)
    campaign.fail({**point, "kind": NAMES[0]}, name)

    class Model:
        def predict(
            self, problem: Problem, history: History, points: Sequence[Mapping[str, ParameterValue]]
        ) -> list[dict[str, Prediction]]:
            return [{name: Prediction(0.5, 0.1)} for _ in points]

    page = page_of(campaign, tmp_path, Model())
    assert not page.all("script")
    assert all(text in page.text for text in (name, *NAMES))
    assert "The model could not be drawn" not in page.text


class Broken:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def predict(
        self, problem: Problem, history: History, points: Sequence[Mapping[str, ParameterValue]]
    ) -> list[dict[str, Prediction]]:
        if self.error is not None:
            raise self.error
        return [{} for _ in points]


@pytest.mark.parametrize("predictor", [Broken(ZeroDivisionError("by <zero>")), Broken(), object()])
def test_a_model_that_fails_is_told_and_the_rest_stands(predictor: object, tmp_path: Path) -> None:
    text = page_of(film_campaign(6), tmp_path, predictor).text
    assert "The model could not be drawn:" in text
    assert "gave the lowest resistance" in text


def test_without_the_journal_it_says_what_is_missing(tmp_path: Path) -> None:
    text = page_of(film_campaign(6), tmp_path, has_journal=False).text
    assert "Made without the journal at hand" in text
    assert "Laboratory time counts from the first proposal" in text
    assert "The planner learned from 4 measurements made before." in text


def test_laboratory_time_leaves_out_the_nights_between_sessions(tmp_path: Path) -> None:
    from sdl.export.account import Account

    campaign = Recorded(Problem(SearchSpace(dose=Continuous(0, 1)), Minimize("x")))
    campaign.complete({"dose": 0.1}, {"x": Measurement(1.0, None)})
    campaign.end()
    campaign.clock.now += 50_000
    campaign.record(Comment(text="good night"), actor="mira")
    campaign.clock.now += 50_000
    campaign.record(SessionStarted(session=2, is_virtual=True, host="h", pid=2, versions={}))
    campaign.complete({"dose": 0.2}, {"x": Measurement(1.0, None)})
    campaign.record(SessionEnded(session=2, status="stopped", reason="interrupted"))
    account = Account.of(campaign.view, campaign.journal)
    assert account.lab_seconds == {1: 7200.0, 2: 14400.0}
    assert campaign.view.lab_seconds == 14400.0
    assert [session.status for session in account.sessions] == ["finished", "stopped"]


# --- the file itself --------------------------------------------------------------------------------------------------


def test_the_page_stands_alone_and_can_be_read_aloud(film: Film) -> None:
    html = html_of(film)
    page = Page(html)
    policy = next(meta["content"] for meta in page.all("meta") if "Content-Security-Policy" in meta.values())
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"//[a-z]|@import|url\(", re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html))
    assert not any("style" in attributes or name.startswith("on") for _, attributes in page.tags for name in attributes)
    images = page.all("img")
    assert len(images) == 7
    assert all(len(image["alt"] or "") > 40 and str(image["src"]).startswith("data:image/png") for image in images)
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert set(ids.values()) == {1}
    named = {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes}
    assert named <= set(ids)
    assert {link["href"] for link in page.all("a")} <= {f"#{anchor}" for anchor in ids}
    assert page.all("html") == [{"lang": "en"}]


def test_the_figures_are_files_too(film: Film) -> None:
    html, written = html_of(film), film[1]
    assert written[0].name == "film.html"
    assert sorted(written) == sorted(written[0].parent.iterdir())
    assert {path.name for path in written[1:]} == {
        "film-progress-trials.png",
        "film-progress-time.png",
        "film-model.png",
        "film-map.png",
        "film-calibration.png",
        "film-misses.png",
        "film-stations.png",
    }
    for path in written[1:]:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert base64.b64encode(path.read_bytes()).decode() in html


def test_the_same_campaign_gives_the_same_bytes_whatever_matplotlib_is_told(film: Film, tmp_path: Path) -> None:
    again = film_campaign()
    with mpl.rc_context(  # pyright: ignore[reportUnknownMemberType] # matplotlib leaves its settings' types open
        {"axes.facecolor": "red", "font.size": 30, "savefig.dpi": 20}
    ):
        before = dict(mpl.rcParams)
        written = write_report(again.view, tmp_path / "film.html", predictor=FilmModel(), journal=again.journal)
        assert dict(mpl.rcParams) == before
    assert [path.read_bytes() for path in film[1]] == [path.read_bytes() for path in written]


# --- the slices -------------------------------------------------------------------------------------------------------


def test_slices_of_a_mixture_stay_mixtures() -> None:
    space = SearchSpace(
        {name: Continuous(0, 100, unit="%") for name in "abc"}, constraints=[Mixture(("a", "b", "c"), total=100.0)]
    )
    moved = slices.moved_to(space, {"a": 20.0, "b": 60.0, "c": 20.0}, {"a": 60.0})
    assert moved == {"a": 60.0, "b": pytest.approx(30.0), "c": pytest.approx(10.0)}
    for share in (0.0, 33.0, 100.0):
        point = slices.moved_to(space, {"a": 100.0, "b": 0.0, "c": 0.0}, {"a": share})
        assert point is not None
        space.check(point)


def test_slices_leave_out_what_a_constraint_forbids() -> None:
    limited = SearchSpace(
        a=Continuous(0, 1), b=Continuous(0, 1), constraints=[LinearConstraint({"a": 1.0, "b": 1.0}, upper=1.0)]
    )
    assert slices.moved_to(limited, {"a": 0.1, "b": 0.6}, {"a": 0.5}) is None
    few = SearchSpace(a=Discrete((0, 1, 2)), b=Discrete((0, 1)), constraints=[AtMost(1, ("a", "b"))])
    assert slices.moved_to(few, {"a": 0.0, "b": 1.0}, {"a": 2.0}) is None
    assert slices.moved_to(few, {"a": 0.0, "b": 0.0}, {"a": 2.0}) == {"a": 2.0, "b": 0.0}


def test_the_model_is_asked_only_for_points_of_the_space_and_the_star_lies_on_each_slice() -> None:
    campaign = film_campaign()
    found = slices.belief(campaign.view, FilmModel())
    assert found is not None
    assert [item.name for item in found.slices] == ["oxygen", "temperature", "target"]
    for item in found.slices:
        assert found.centre.values[item.name] in item.along
        at = list(item.along).index(found.centre.values[item.name])
        assert item.of("resistance")[at] == found.at_centre["resistance"]
    assert found.plane is not None
    assert found.plane.names == ("oxygen", "temperature")


def test_the_centre_of_a_front_is_its_best_compromise() -> None:
    campaign = Recorded(Problem(SearchSpace(dose=Continuous(0, 1)), (Maximize("x"), Maximize("y"))))
    for dose, x, y in ((0.1, 0.0, 10.0), (0.2, 900.0, 9.0), (0.3, 1000.0, 0.0)):
        campaign.complete({"dose": dose}, {"x": Measurement(x, None), "y": Measurement(y, None)})
    centre = slices.centre_of(campaign.view)
    assert centre is not None
    assert centre.number == 2


def test_pending_trials_are_no_points(tmp_path: Path) -> None:
    campaign = Recorded(film_problem())
    point = film_problem().space.point(oxygen="0.1 Pa", temperature="100 degC", target="Nb 2 %")
    decided = Decision(planner="p", version="1", seed=1, n_observed=0, n_pending=0)
    campaign.record(TrialProposed(values=point, decision=decided), trial=1)
    text = page_of(campaign, tmp_path, FilmModel()).text
    assert "1 proposed" in text
