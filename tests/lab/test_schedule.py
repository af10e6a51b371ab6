"""The scheduler: whatever the laboratory, nothing overlaps, everything ends, and no sample waits too long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_labs import BEGIN, RandomLab, intervals

from sdl.errors import LabError
from sdl.lab.schedule import BatchRule, Calendar, Decision, StationState, Work, dispatch
from sdl.lab.schedule.rehearsal import Rehearsed, rehearse
from sdl.testing.schedule import StepRule, check_schedule

seeds = st.integers(0, 2**32 - 1)


def work(trial: int, step: str, *stations: str, duration: float = 600.0, campaign: str = "c", **more: object) -> Work:
    return Work.model_validate(
        {"campaign": campaign, "trial": trial, "step": step, "stations": stations, "duration": duration, **more}
    )


def states(*names: str) -> list[StationState]:
    return [StationState(name=name) for name in names]


def check(lab: RandomLab, done: Rehearsed) -> list[str]:
    return check_schedule(intervals(done), lab.rules, opening=lab.opening)


# --- any laboratory ---------------------------------------------------------------------------------------------------


@given(seeds)
@example(100648)  # what no later step names was kept
@example(104544)  # a batch waits for those that wait for what it keeps
@example(203438)  # to begin later changes nothing for a while
@settings(max_examples=25, deadline=None)
def test_any_laboratory_ends_and_nothing_overlaps(seed: int) -> None:
    lab = RandomLab(seed)
    done = rehearse(lab.trials, lab.states, begin=BEGIN)
    assert sorted(key for run in done.runs for key in run.works) == sorted(w.key for t in lab.trials for w in t)
    wrong = check(lab, done)
    assert [text for text in wrong if "are allowed" not in text] == []
    assert len(wrong) == len(done.late)  # what it says of windows is what the checker finds


@given(seeds)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_no_window_is_broken_where_steps_take_as_long_as_expected(seed: int) -> None:
    lab = RandomLab(
        seed, has_batches=False, has_keeps=False, has_needs=False, has_setups=False, has_calendars=seed % 2 == 0
    )
    done = rehearse(lab.trials, lab.states, begin=BEGIN)
    assert [text for text in check(lab, done) if "are allowed" in text] == []


def test_windows_are_kept_in_nearly_all_laboratories_where_stations_are_shared_and_kept() -> None:
    """The look-ahead is a rule of thumb there: of 316 random laboratories like these it broke a window in 4."""
    labs = [RandomLab(seed, has_batches=False, has_calendars=False) for seed in range(20)]
    assert sum(bool(rehearse(lab.trials, lab.states, begin=BEGIN).late) for lab in labs) <= 1


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_a_laboratory_ends_whatever_steps_really_take(seed: int) -> None:
    lab = RandomLab(seed, has_calendars=False)
    took = {w.key: w.duration * float(lab.rng.uniform(0.3, 3.0)) for trial in lab.trials for w in trial}
    done = rehearse(lab.trials, lab.states, begin=BEGIN, took=took, in_flight={"a": 3, "b": 2})
    assert [text for text in check(lab, done) if "are allowed" not in text] == []


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_late_trials_that_fail_leave_the_others_going(seed: int) -> None:
    lab = RandomLab(seed, has_calendars=False)
    took = {w.key: w.duration * 1.5 for trial in lab.trials for w in trial}
    done = rehearse(lab.trials, lab.states, begin=BEGIN, took=took, fail_late=True)
    assert done.late == ()
    begun = {key[:2] for run in done.runs for key in run.works} | {key[:2] for key in done.failed}
    assert begun == {trial[0].holder for trial in lab.trials}


# --- the checker finds what a broken scheduler does -------------------------------------------------------------------

Given = tuple[float, Sequence[Work], Sequence[StationState]]


def blind_to_work(now: float, works: Sequence[Work], stations: Sequence[StationState]) -> Decision:
    return dispatch(now, works, [state.replace(busy_until=None) for state in stations])


def blind_to_hours(now: float, works: Sequence[Work], stations: Sequence[StationState]) -> Decision:
    return dispatch(now, works, [state.replace(calendar=None) for state in stations])


def blind_to_windows(now: float, works: Sequence[Work], stations: Sequence[StationState]) -> Decision:
    return dispatch(now, [each.replace(due=None, within={}) for each in works], stations)


def blind_to_needs(now: float, works: Sequence[Work], stations: Sequence[StationState]) -> Decision:
    return dispatch(now, [each.replace(needs=()) for each in works], stations)


def blind_to_keepers(now: float, works: Sequence[Work], stations: Sequence[StationState]) -> Decision:
    return dispatch(now, works, [state.replace(held_by=()) for state in stations])


@pytest.fixture(scope="module")
def sound() -> list[tuple[RandomLab, set[str]]]:
    """Some laboratories, and what the checker says where the scheduler is as it should be."""
    labs = [RandomLab(seed) for seed in range(14)]
    return [(lab, set(check(lab, rehearse(lab.trials, lab.states, begin=BEGIN)))) for lab in labs]


@pytest.mark.parametrize("broken", [blind_to_work, blind_to_hours, blind_to_windows, blind_to_needs, blind_to_keepers])
def test_the_checker_finds_what_a_broken_scheduler_does(
    broken: Callable[[float, Sequence[Work], Sequence[StationState]], Decision],
    sound: list[tuple[RandomLab, set[str]]],
) -> None:
    n_found = 0
    for lab, usual in sound:
        try:
            done = rehearse(
                lab.trials, lab.states, begin=BEGIN, decide=lambda now, works, stations, _: broken(now, works, stations)
            )
        except (LabError, KeyError):  # it locks itself, or starts what has gone
            continue
        n_found += bool(set(check(lab, done)) - usual)
    assert n_found >= 1


def test_the_checker_finds_a_furnace_that_is_too_full() -> None:
    trials = [[work(n, "anneal", "furnace", batch=BatchRule(size=5))] for n in range(1, 6)]
    done = rehearse(trials, states("furnace"))
    wrong = check_schedule(intervals(done), {"anneal": StepRule(("furnace",), size=2)})
    assert wrong == ["anneal of c/1 on furnace treats 5 at a time, and may treat 2"]


def test_the_checker_finds_stock_that_was_not_there() -> None:
    uses = [(0.0, "ethanol", 3.0), (5.0, "ethanol", 3.0)]
    assert check_schedule([], stock={"ethanol": 6.0}, uses=uses) == []
    assert "1 too little of ethanol" in check_schedule([], stock={"ethanol": 5.0}, uses=uses)[0]


# --- the rules --------------------------------------------------------------------------------------------------------


def test_a_step_waits_while_its_successor_could_not_start_in_time() -> None:
    works = [work(1, "coat", "coater"), work(1, "measure", "xrd", after=["coat"], within={"coat": 300.0})]
    busy = StationState(name="xrd", busy_until=3600.0, busy_with=(("c", 9, "scan"),))
    decision = dispatch(0.0, works, [StationState(name="coater"), busy])
    assert decision.starts == ()
    assert decision.wake_at == 3600 - 300 - 600
    assert "or measure could not begin in time" in str(decision.waits["c", 1, "coat"])


def test_a_station_is_kept_free_for_a_step_that_must_begin_in_time() -> None:
    works = [
        work(1, "measure", "xrd", after=["coat"], release=600.0, within={"coat": 300.0}),
        work(2, "scan", "xrd", duration=3600.0),
        work(3, "look", "xrd", duration=700.0),
    ]
    decision = dispatch(0.0, works, [*states("xrd"), StationState(name="coater", busy_until=600.0)])
    assert [start.works for start in decision.starts] == [(("c", 3, "look"),)]  # which leaves it in time
    assert "kept free for measure of trial 1" in str(decision.waits["c", 2, "scan"])
    assert "kept free for a step of something else" in decision.waits["c", 2, "scan"].told("another")


def test_a_batch_waits_for_its_patience_and_no_longer() -> None:
    rule = BatchRule(size=3, patience=1800.0)
    works = [
        work(1, "anneal", "furnace", batch=rule, batch_key="500"),
        work(2, "anneal", "furnace", batch=rule, batch_key="700"),
        work(3, "coat", "coater"),
        work(3, "anneal", "furnace", batch=rule, batch_key="500", after=["coat"]),
    ]
    waiting = dispatch(0.0, works, states("furnace"))
    assert str(waiting.waits["c", 1, "anneal"]).startswith("waits for 2 more to share the run on furnace, until")
    assert [start.works for start in waiting.starts] == [(("c", 2, "anneal"),)]  # nobody else of 700 degrees will come
    alone = dispatch(0.0, works[:1] + works[2:], states("furnace"))
    assert alone.wake_at == 1800.0
    assert dispatch(1800.0, works[:1] + works[2:], states("furnace")).starts[0].works == (("c", 1, "anneal"),)


def test_a_batch_waits_for_one_that_is_treated_for_longer_than_expected() -> None:
    """It may come at any time; what is expected of it says nothing any more."""
    rule = BatchRule(size=2, patience=60.0)
    works = [
        work(1, "anneal", "furnace", batch=rule),
        work(2, "anneal", "furnace", batch=rule, after=["coat"], release=10.0),
    ]
    given = [*states("furnace"), StationState(name="coater", busy_until=10.0, busy_with=(("c", 2, "coat"),))]
    assert dispatch(50.0, works, given).wake_at == 60.0
    assert dispatch(60.0, works, given).starts[0].works == (("c", 1, "anneal"),)


def test_a_full_batch_goes_at_once_and_shares_one_key() -> None:
    rule = BatchRule(size=2, patience=1800.0)
    works = [work(n, "anneal", "furnace", batch=rule, batch_key=str(n % 2)) for n in range(1, 5)]
    decision = dispatch(0.0, works, states("furnace"))
    assert decision.starts[0].works == (("c", 1, "anneal"), ("c", 3, "anneal"))


def test_trials_that_keep_what_the_other_needs_do_not_both_begin() -> None:
    """Each would take one arm and want the other: the classical dead-lock."""

    def trial(number: int, first: str, second: str) -> list[Work]:
        return [
            work(number, "take", "bench", "desk", needs=(first,), keeps=(first,)),
            work(number, "place", "bench", "desk", needs=(first, second), after=["take"]),
        ]

    works = [*trial(1, "left", "right"), *trial(2, "right", "left")]
    decision = dispatch(0.0, works, states("bench", "desk", "left", "right"))
    assert [start.works[0][1] for start in decision.starts] == [1]
    assert decision.waits["c", 2, "take"].because == "safety"
    done = rehearse([trial(1, "left", "right"), trial(2, "right", "left")], states("bench", "desk", "left", "right"))
    assert len(done.runs) == 4


def test_what_no_later_step_names_is_free_when_the_step_has_ended() -> None:
    """It would be kept to the end of the trial, and nobody who reckons with what is still wanted would know."""

    def trial(number: int, first: str, second: str) -> list[Work]:
        return [
            work(number, "take", first, keeps=(first,)),
            work(number, "place", second, after=["take"]),
        ]

    done = rehearse([trial(1, "left", "right"), trial(2, "right", "left")], states("left", "right"))
    assert len(done.runs) == 4
    assert done.kept == ()


def test_a_choice_of_stations_is_safe_if_any_of_them_would_do() -> None:
    """Trial 1 gets what it wants with the second arm for the first need."""
    either, left = ("left", "right"), ("left",)
    works = [
        work(1, "take", "bench", keeps=("bench",)),
        work(1, "place", "bench", needs=(either, left), after=["take"]),
    ]
    assert dispatch(0.0, works, states("bench", "left", "right")).starts[0].works == (("c", 1, "take"),)


def test_a_step_does_not_wait_where_a_later_one_is_late_whenever_it_begins() -> None:
    """The window of the second was opened by a step that has ended: to wait makes it only later."""
    works = [work(1, "rinse", "bath", duration=60.0), work(1, "measure", "xrd", after=["rinse"], due=300.0)]
    busy = StationState(name="xrd", busy_until=300.01, busy_with=(("c", 9, "scan"),))
    assert dispatch(0.0, works, [*states("bath"), busy]).starts[0].works == (("c", 1, "rinse"),)


def test_a_step_that_waits_asks_again_when_it_may_make_a_difference() -> None:
    """The first step of three may begin so much later that the second does not wait for the oven any more."""
    works = [
        work(1, "coat", "coater", duration=100.0),
        work(1, "bake", "oven", duration=100.0, after=["coat"], within={"coat": 900.0}),
        work(1, "measure", "xrd", after=["bake"], within={"bake": 50.0}),
    ]
    busy = [
        StationState(name="oven", busy_until=500.0, busy_with=(("c", 8, "bake"),)),
        StationState(name="xrd", busy_until=1000.0, busy_with=(("c", 9, "scan"),)),
    ]
    assert dispatch(0.0, works, [*states("coater"), *busy]).wake_at == 400 + 350


def test_a_batch_does_not_wait_for_those_that_wait_for_what_it_keeps() -> None:
    """Trial 1 keeps a bench until another joins its run; the others begin only two at a time, and with both benches."""
    rule = BatchRule(size=2, least=2, patience=1800.0)

    def trial(number: int) -> list[Work]:
        return [
            work(number, "coat", "coater", batch=rule),
            work(number, "dry", "bench1", "bench2", within={"coat": 600.0}, keeps=("bench1", "bench2"), after=["coat"]),
            work(number, "wash", "bench1", "bench2", batch=rule, after=["dry"]),
        ]

    hours = Calendar(hours=("06:00-22:00",))
    benches = [StationState(name="bench1", calendar=hours), StationState(name="bench2", calendar=hours)]
    done = rehearse([trial(number) for number in (1, 2, 3)], [*states("coater"), *benches], begin=8 * 3600.0)
    assert len({key for run in done.runs for key in run.works}) == 9
    assert done.seconds < 86400


def test_stations_that_are_never_open_together_are_told() -> None:
    calendars = {"s": "Mon 08:00-12:00", "r": "Mon 13:00-17:00"}
    closed = [StationState(name=name, calendar=Calendar(hours=(hours,))) for name, hours in calendars.items()]
    wait = dispatch(0.0, [work(1, "x", "s", needs=("r",))], closed).waits["c", 1, "x"]
    assert wait.because == "never"


def test_priority_goes_first_then_the_campaign_that_has_had_least_of_its_share() -> None:
    works = [work(1, "x", "s", campaign=name, priority=priority) for name, priority in (("a", 0), ("b", 0), ("c", 1))]
    usage = {"a": 100.0, "b": 150.0}
    order: list[str] = []
    while works:
        start = dispatch(0.0, works, states("s"), usage=usage, shares={"a": 1.0, "b": 2.0}).starts[0]
        order.append(start.works[0][0])
        works = [each for each in works if each.key != start.works[0]]
    assert order == ["c", "b", "a"]


def test_shares_are_kept_over_time() -> None:
    trials = [[work(n, "x", "s", campaign=name)] for name in "ab" for n in range(1, 61)]
    done = rehearse(
        trials,
        states("s"),
        decide=lambda now, works, given, usage: dispatch(now, works, given, usage=usage, shares={"a": 3.0, "b": 1.0}),
    )
    first = [run.works[0][0] for run in done.runs[:40]]
    assert first.count("a") == 30


def test_a_set_up_is_avoided_but_not_for_ever() -> None:
    trials = [[work(n, "x", "s", duration=60.0, setup_key="ab"[n % 2], setup=600.0)] for n in range(1, 31)]
    done = rehearse(trials, states("s"))
    assert sum(run.setup > 0 for run in done.runs) <= 4  # one after the other would need 30
    assert max(done.waited.values()) <= 10 * 600 + 60 + 600 + 15 * 60


def test_a_work_that_needs_two_stations_is_not_put_off_for_ever() -> None:
    """Each of the two is always wanted by others, and they are never free together by chance."""
    single = [[work(n, name, name, duration=600.0 + 7 * n)] for n in range(2, 30) for name in ("s", "r")]
    done = rehearse([[work(1, "both", "s", needs=("r",), release=10.0)], *single], states("s", "r"))
    assert done.waited["c", 1, "both"] < 700


def test_what_is_kept_is_the_only_one_that_will_do() -> None:
    held = StationState(name="robot2", held_by=(("c", 1),))
    works = [work(1, "place", "bench", needs=(("robot1", "robot2"),)), work(2, "place", "desk", needs=("robot2",))]
    decision = dispatch(0.0, works, [*states("bench", "desk", "robot1"), held])
    assert decision.starts[0].needs == ("robot2",)
    assert decision.waits["c", 2, "place"].because == "turn"


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"busy_until": 3600.0, "busy_with": (("c", 12, "x"),)}, "busy with trial 12, until Thu 1 Jan 01:00 UTC"),
        ({"is_down": True}, "waits for s, which is out of order"),
        ({"held_by": (("c", 3),)}, "waits for s, which trial 3 keeps"),
        ({"calendar": Calendar(hours=("Mon 08:00-18:00",))}, "the hours of s, which opens Mon 5 Jan 08:00 UTC"),
        ({"calendar": Calendar(hours=("Mon 08:00-08:05",))}, "no station can ever run it"),
    ],
)
def test_every_wait_says_why(state: Mapping[str, object], sentence: str) -> None:
    given = StationState.model_validate({"name": "s", **state})
    decision = dispatch(0.0, [work(1, "x", "s")], [given])
    assert sentence in str(decision.waits["c", 1, "x"])


def test_late_works_are_named() -> None:
    works = [work(1, "x", "s", due=10.0)]
    busy = [StationState(name="s", busy_until=50.0)]
    assert dispatch(10.0, works, busy).late == ()
    wake = dispatch(0.0, works, busy).wake_at
    assert wake is not None
    assert dispatch(wake, works, busy).late == (("c", 1, "x"),)


def test_a_rehearsal_that_cannot_end_says_why() -> None:
    down = [state.replace(is_down=True) for state in states("s")]
    with pytest.raises(LabError, match="out of order"):
        rehearse([[work(1, "x", "s")]], down)


def test_the_same_again_gives_the_same() -> None:
    lab = RandomLab(7)
    one, two = (rehearse(lab.trials, lab.states, begin=BEGIN) for _ in range(2))
    assert replace(one, waited={}) == replace(two, waited={})
