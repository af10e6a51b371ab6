"""Campaign files: what they may say, and what is said of their mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.campaign import Budget, OnUnknown, TargetReached
from sdl.campaign.file import LabSection, SpaceSection, load_campaign_file, make_lab, parse_campaign, read_pool
from sdl.campaign.yaml_text import YamlText
from sdl.errors import CampaignError, ProblemError, SdlError
from sdl.problem import Categorical, Continuous, Discrete, Maximize, Minimize, Mixture, SearchSpace

WHOLE = """\
name: nb-tio2
space:
  parameters:
    oxygen: {kind: continuous, low: 10 mPa, high: 1, unit: Pa, log: true}
    temperature: {kind: continuous, low: 20, high: 400, unit: degC}
    layers: {kind: discrete, values: [1, 2, 4]}
    gas: {kind: categorical, choices: [Ar, no]}
    a: {kind: continuous, low: 0, high: 1}
    b: {kind: continuous, low: 0, high: 1}
  constraints:
    - {kind: mixture, names: [a, b]}
objective:
  - {kind: minimize, outcome: resistance, unit: ohm}
  - {kind: target, outcome: thickness, low: 90, high: 110, unit: nm}
outcome_constraints: [{outcome: roughness, upper: 5, unit: nm}]
planner: {type: lhs, options: {n: 8}}
lab: {type: thin-film, options: {seed: 3}, clock: wall}
experiment: plans:deposit
budget: {trials: 30, lab_time: 5 days, cost: 1e3}
stopping: [{rule: target_reached, value: 12}]
seed: 7
in_flight: 2
on_failure: {retries: 1, retry_on: [timeout]}
on_unknown: failed
seed_data: [prior]
planner_deadline: 60
fallback: pause
store: kept.sdl
"""


def test_everything_that_a_file_may_say() -> None:
    found = parse_campaign(WHOLE, "c.yaml")
    assert found.space is not None
    space = found.space.make(Path())
    assert list(space.parameters) == ["oxygen", "temperature", "layers", "gas", "a", "b"]
    assert space.parameters["oxygen"] == Continuous(0.01, 1, unit="Pa", log=True)
    assert space.parameters["gas"] == Categorical(["Ar", "no"])
    assert space.constraints == (Mixture(["a", "b"]),)
    assert found.objective is not None
    assert found.objective[0] == Minimize("resistance", unit="ohm")
    assert found.budget == Budget(trials=30, lab_time=5 * 86400, cost=1000)
    assert found.stopping == (TargetReached(value=12.0),)
    assert found.planner.make().name == "Latin hypercube"
    assert (found.fallback, found.on_unknown, found.store) == ("pause", "failed", "kept.sdl")


BARE = "name: x\nlab: thin-film\n"


def test_the_policy_for_unknown_trials_by_class() -> None:
    text = f"{BARE}on_unknown: {{cumulative: failed, transfer: redo, consent: Kim}}\n"
    assert parse_campaign(text, "c").on_unknown == OnUnknown(cumulative="failed", transfer="redo", consent="Kim")
    with pytest.raises(ProblemError, match="line 3: on_unknown"):
        parse_campaign(f"{BARE}on_unknown: {{transfer: redo}}\n", "c")


def test_short_forms() -> None:
    space = "{parameters: {x: {kind: discrete, values: [1, 2]}}, pool: p.csv}"
    found = parse_campaign(f"{BARE}objective: {{kind: maximize, outcome: y}}\nspace: {space}", "c")
    assert found.lab == LabSection(type="thin-film")
    assert found.objective == (Maximize("y"),)
    assert found.space is not None
    assert found.space.pool is not None
    assert found.space.pool.file == "p.csv"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["c.yaml is empty"]),
        ("- name", ["c.yaml holds no keys"]),
        ("name: [x\n", ["c.yaml, line 2: ", "expected ',' or ']'"]),
        ("name: x\nname: y", ["line 2: the key 'name' stands there twice"]),
        ("name: x\n3: y", ["line 2: the key 3 is no text"]),
        ("name: !!python/object:os.system x", ["line 1: could not determine a constructor"]),
        ("name: x\n---\nname: y", ["line 2: but found another document"]),
        (
            BARE + "sede: 3",
            ["line 3: sede: unknown key 'sede'", "did you mean 'seed'?", "allowed are name, lab, space"],
        ),
        (BARE + "seed: 7.5", ["line 3: seed: ", "got 7.5"]),
        (BARE + "seed: -1", ["line 3: seed: ", "greater than or equal to 0"]),
        (BARE + "in_flight: no", ["line 3: in_flight: ", "valid integer", "got 'no'"]),
        (BARE + "budget:\n  trials: many", ["line 4: budget.trials: ", "got 'many'"]),
        (BARE + "budget: {lab_time: 3 ohm}", ["line 3: budget", "lab_time"]),
        (BARE + "on_unknown: guess", ["line 3: on_unknown: ", "'ask', 'failed' or 'redo'", "got 'guess'"]),
        (BARE + "stopping: [{value: 3}]", ["line 3: stopping.0: the key 'rule' is missing (one of target_reached"]),
        (BARE + "objective: {kind: least, outcome: y}", ["line 3: objective", "there is no kind 'least' (one of min"]),
        (BARE + "objective: {kind: minimize}", ["line 3: objective", "the key 'outcome' is missing"]),
        (BARE + "objective: {kind: minimize, outcome: y, unit: blah}", ["line 3", "blah"]),
        (
            BARE + "space:\n  parameters:\n    x: {kind: continuous, low: 2, high: 1}",
            ["line 5: space.parameters.x: ", "the lower bound", "(swap the bounds)"],
        ),
        (
            BARE + "space:\n  parameters:\n    x:\n      kind: continuous\n      low: 0\n      hihg: 1",
            ["line 8: space.parameters.x.hihg: unknown key 'hihg' (and 1 more to mend) (did you mean 'high'?"],
        ),
        (
            BARE + "space:\n  parameters: {x: {low: 0, high: 1}}",
            ["line 4: space.parameters.x: the key 'kind' is missing (one of continuous, discrete"],
        ),
        (
            BARE + "space:\n  parameters: {x: {kind: continuous, low: 3 kg, high: 1, unit: Pa}}",
            ["line 4: space.parameters.x: ", "low", "kg"],
        ),
        (
            BARE
            + "space:\n  parameters: {x: {kind: fixed, value: 3}}\n  constraints: [{kind: mixture, names: [a, b]}]",
            ["space: "],
        ),
        (BARE + "seed: 1e999", ["c.yaml: "]),
        (BARE + "store: !!binary aGVsbG8=", ["c.yaml: "]),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, parts: list[str]) -> None:
    with pytest.raises(ProblemError) as raised:
        parse_campaign(text, "c.yaml")
    said = str(raised.value)
    for part in parts:
        assert part in said
    assert "\n" not in said


def test_scalars_are_read_as_yaml_1_2_reads_them() -> None:
    text = "a: no\nb: 1e-3\nc: 12:30\nd: 2026-01-01\ne: 010\nf: 0x1f\ng: true\nh: ~\ni: -7\nj: .5\nk: .nan"
    assert YamlText.of(text, "t").data == {
        "a": "no",
        "b": 0.001,
        "c": "12:30",
        "d": "2026-01-01",
        "e": 10.0,
        "f": "0x1f",
        "g": True,
        "h": None,
        "i": -7,
        "j": 0.5,
        "k": ".nan",
    }


def test_aliases_and_merged_keys() -> None:
    text = "base: &b {kind: continuous, low: 0}\nx:\n  <<: *b\n  high: 1\ny: *b"
    source = YamlText.of(text, "t")
    assert source.data["x"] == {"kind": "continuous", "low": 0, "high": 1}
    assert source.place_of(("x", "continuous", "high")) == (("x", "high"), 4)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "a: &a [*a]",
        "a: " + "[" * 5000,
        "a: " + "{b: " * 3000,
    ],
    ids=["billion laughs", "snake", "deep list", "deep mapping"],
)
def test_bombs(text: str) -> None:
    with pytest.raises(ProblemError):
        YamlText.of(text, "t")


@given(st.text(max_size=200))
def test_any_text_is_a_file_or_a_problem(text: str) -> None:
    try:
        parse_campaign(text, "t")
    except ProblemError as error:
        assert error.message.startswith("t")  # noqa: PT017 # most texts are a problem, not all


@given(st.data())
def test_any_cut_or_typing_mistake_is_a_file_or_a_problem(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(WHOLE)))
    typed = data.draw(st.text(st.sampled_from("abk :-[]{}&*!'\"#\n\t109"), max_size=4))
    skipped = data.draw(st.integers(0, 6))
    try:
        parse_campaign(WHOLE[:place] + typed + WHOLE[place + skipped :], "t")
    except ProblemError as error:
        assert "t" in error.message  # noqa: PT017 # many changes are harmless


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ProblemError, match="no UTF-8 text"):
        load_campaign_file(path)
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ProblemError, match="1000001 bytes, a campaign file at most 1000000"):
        load_campaign_file(path)


# --- pools ------------------------------------------------------------------------------------------------------------

SPACE = SearchSpace(
    flow=Continuous(0.0, 10.0, unit="ml/min"),
    gas=Categorical(["Ar", "N2"]),
    n=Discrete([1, 2, 3]),
    context_free=Discrete([0, 1]),
)


def pool_of(tmp_path: Path, text: str, **more: object) -> object:
    path = tmp_path / "pool.csv"
    path.write_text(text, encoding="utf-8")
    return read_pool(path, SPACE, **more)  # type: ignore[arg-type] # what a file may say


def test_a_pool_from_a_file(tmp_path: Path) -> None:
    text = "\ufeffid,flow [ml/min],gas,n,context_free\n7,1.5,Ar,2,0\n8,2.5,N2,3,1\n"
    pool = pool_of(tmp_path, text, ignore=("id",))
    assert SPACE.replace(pool=pool).n_points == 2
    section = SpaceSection(parameters=dict(SPACE.parameters), pool={"file": "pool.csv", "ignore": ("id",)})  # type: ignore[arg-type] # as in a file
    space = section.make(tmp_path)
    assert space.pool is not None
    assert space.pool.row(1) == {"flow": 2.5, "gas": "N2", "n": 3.0, "context_free": 1.0}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("flow,gas,n\n1,Ar,2\n", "none for context_free"),
        ("flow,gas,n,context_free,who\n1,Ar,2,0,me\n", "who is no free parameter"),
        ("flow,gas,n,context_free\n1,Ar,,0\n", "line 2, n: the cell is empty"),
        ("flow,gas,n,context_free\n1,Ar,2,0\nfast,Ar,2,1\n", "line 3, flow: 'fast' is no number"),
        ("flow,gas,n,context_free\n1,Ar\n", "the cell is empty"),
        ("", "(none)"),
        ("flow,gas,n,context_free\n", "at least one row"),
    ],
)
def test_a_pool_with_a_mistake(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ProblemError) as raised:
        pool_of(tmp_path, text)
    assert part in str(raised.value)


def test_no_pool(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"there is no pool .*gone\.csv"):
        read_pool(tmp_path / "gone.csv", SPACE)


# --- laboratories -----------------------------------------------------------------------------------------------------


def test_a_twin_with_faults_and_a_clock() -> None:
    section = LabSection(type="thin-film", options={"faults": {"robot_drop": 0.5}}, clock="wall")
    lab, plan = make_lab(section, Path(), seed=9)
    with lab:
        assert plan == "deposit_and_measure"
        assert not lab.clock.is_virtual
        assert lab.describe()["seed"] == 9
        assert lab.describe()["faults"] == {"robot_drop": 0.5, "no_plasma": 0.0, "no_contact": 0.0}


def test_a_laboratory_from_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.csv").write_text("x,y\n1,10\n2,20\n3,5\n")
    (folder / "schema.yaml").write_text(
        "name: hills\ncolumns:\n  x: {role: parameter, kind: discrete}\n  y: {role: outcome, goal: maximize}\n"
    )
    text = "name: hills\nlab: {type: table, options: {schema: data/schema.yaml}}\nplanner: grid\nbudget: {trials: 3}\n"
    campaign = parse_campaign(text, "c").make(tmp_path, progress=False)
    with campaign.lab:
        assert campaign.problem.objectives == (Maximize("y"),)
        assert campaign.problem.space.n_points == 3
        assert campaign.experiment.steps[0].name == "measure"


@pytest.mark.parametrize(
    "section",
    [
        LabSection(type="thin-film", options={"faults": {"robot": 0.5}}),
        LabSection(type="thin-film", options={"seeds": 1}),
        LabSection(type="json:loads"),
        LabSection(type="json:__name__"),
        LabSection(type="no-such-lab"),
    ],
)
def test_a_laboratory_that_cannot_be_made(section: LabSection) -> None:
    with pytest.raises(SdlError):
        make_lab(section, Path(), seed=0)[0].close()


def test_what_a_laboratory_does_not_have() -> None:
    text = "name: x\nlab: {type: 'sdl.lab:Lab', options: {name: bare}}\nbudget: {trials: 1}"
    with pytest.raises(CampaignError, match=r"says no space.*'bare' has none.*add space:"):
        parse_campaign(text, "c").make(Path())
