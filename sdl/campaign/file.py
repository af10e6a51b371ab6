"""A campaign as a file: what a script would say, in YAML, checked before anything starts.

::

    name: nb-tio2
    lab: thin-film
    planner: bayesian
    budget: {trials: 30}
    seed: 7

Space, objective and experiment may be left out where the laboratory has its own. Everything else::

    space:
      parameters:
        oxygen: {kind: continuous, low: 0.01, high: 1, unit: Pa, log: true}
        temperature: {kind: continuous, low: 20 degC, high: 400 degC, unit: degC}
      constraints: [{kind: linear, coefficients: {oxygen: 1}, upper: 0.8}]
      pool: candidates.csv
    objective: {kind: minimize, outcome: resistance, unit: ohm}
    outcome_constraints: [{outcome: thickness, lower: 50, unit: nm}]
    planner: {type: "my_planners:Clever", options: {patience: 3}}
    lab: {type: "my_lab:Lab", options: {port: /dev/ttyUSB0}, clock: wall}
    experiment: my_plans:deposit_and_measure
    stopping: [{rule: target_reached, value: 12}]
    in_flight: 2
    autonomy: {level: 3, envelope: {temperature: [20, 300]}}
    on_failure: {retries: 1}
    on_unknown: ask
    quality: {controls: [{every: 5, values: {oxygen: 0.05 Pa, temperature: 300 degC}}], replicates: {every: 4}}
    checks: ["my_checks:thick_enough"]
    seed_data: [seeds/prior-runs]

Modules and files are looked for in the folder of the file. Only plain data are read: no tag makes an object.
"""

from __future__ import annotations

import csv
import difflib
import importlib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast, get_args, get_type_hints

from pydantic import Field, JsonValue, ValidationError, model_validator
from pydantic_core import ErrorDetails

from sdl.campaign.autonomy import Autonomy
from sdl.campaign.budget import (
    Budget,
    FailurePolicy,
    NoImprovement,
    NoImprovementExpected,
    NotWorthIt,
    TargetReached,
    UnknownPolicy,
)
from sdl.campaign.campaign import Campaign
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.campaign.planner import Planner
from sdl.campaign.planning import PlannerSpec
from sdl.campaign.quality import Control, QualityControl, Replicates
from sdl.campaign.yaml_text import YamlText
from sdl.errors import CampaignError, ProblemError, SdlError
from sdl.journal.seeds import load_seed
from sdl.lab import Interlock, Lab, VirtualClock, WallClock
from sdl.lab.materials import Item
from sdl.lab.schedule.ahead import When
from sdl.problem import (
    AtMost,
    CandidatePool,
    Categorical,
    Continuous,
    Discrete,
    Fixed,
    LinearConstraint,
    Maximize,
    Minimize,
    Mixture,
    Objective,
    OutcomeConstraint,
    Parameter,
    SearchSpace,
    Target,
)
from sdl.problem.constraints import Constraint
from sdl.problem.value import FrozenMap, Tuple, Value, listing

MAX_SIZE = 1_000_000
"""Bytes of a campaign file; a pool of candidates has a file of its own."""

PLANNERS: Mapping[str, str] = {
    "bayesian": "sdl.planners:BayesianPlanner",
    "sobol": "sdl.planners:SobolPlanner",
    "random": "sdl.planners:RandomPlanner",
    "lhs": "sdl.planners:LatinHypercubePlanner",
    "grid": "sdl.planners:GridPlanner",
    "active-learning": "sdl.planners:ActiveLearningPlanner",
    "level-set": "sdl.planners:LevelSetPlanner",
    "phase-map": "sdl.planners:PhaseMapPlanner",
    "boundless": "sdl.planners:BoundlessPlanner",
}
"""The planners that have a short name."""

TABLE = "table"
"""The short name of the laboratory that answers from a table; the twins' names are in ``sdl.simulators.twins``."""


# --- what the file says -----------------------------------------------------------------------------------------------


Rule = Annotated[TargetReached | NoImprovement | NoImprovementExpected | NotWorthIt, Field(discriminator="rule")]
"""Any stopping rule that can be written down, told apart by its field ``rule``."""


class PoolSection(Value):
    """A CSV file of candidates: a column for every free parameter, in its unit, and columns to be passed over."""

    file: str
    ignore: Tuple[str] = ()


class SpaceSection(Value):
    """The search space; see :class:`~sdl.SearchSpace`."""

    parameters: FrozenMap[Parameter]
    constraints: Tuple[Constraint] = ()
    pool: PoolSection | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self._bare()
        return self

    def _bare(self) -> SearchSpace:
        return SearchSpace(dict(self.parameters), constraints=self.constraints)

    def make(self, folder: Path) -> SearchSpace:
        """Return the space, with the pool of its file."""
        bare = self._bare()
        return (
            bare if self.pool is None else bare.replace(pool=read_pool(folder / self.pool.file, bare, self.pool.ignore))
        )


class PlannerSection(Value):
    """A planner: a short name or ``module:Class``, and the class's options."""

    type: str
    options: FrozenMap[JsonValue] = Field(default_factory=dict[str, JsonValue])

    def make(self) -> Planner:
        """Make the planner."""
        if self.type not in PLANNERS and ":" not in self.type:
            raise _unknown("planner", self.type, PLANNERS)
        module, _, name = PLANNERS.get(self.type, self.type).partition(":")
        imported(f"{module}:{name}", "planner")
        return PlannerSpec(module=module, name=name, options=dict(self.options)).make()


class RemoteSection(Value):
    """Stations that are not in the engine's process, as :func:`sdl.lab.remote.host` has them.

    ``folder`` and ``keys`` are looked for in the folder of the file.
    """

    stations: Tuple[str] | None = None
    at: FrozenMap[str] = Field(default_factory=dict[str, str])
    keys: str | None = None
    folder: str = "stations"
    is_started_here: bool = True
    lease: Annotated[float, Field(gt=0)] = 2.0

    def host(self, lab: Lab, section: LabSection, options: Mapping[str, JsonValue], folder: Path) -> Lab:
        """Have the stations of *lab*, of *section* with *options*, where the file says, and return it."""
        from sdl.lab.remote import host  # noqa: PLC0415 # 0MQ only where it is asked for
        from sdl.lab.remote.child import Added  # noqa: PLC0415 # as the next one

        keys = None if self.keys is None else folder / self.keys
        place = folder / self.folder
        return host(
            lab,
            section.type,
            options,
            stations=self.stations,
            folder=place,
            is_started_here=self.is_started_here,
            lease=self.lease,
            at=self.at,
            keys=keys,
            added=Added("wall" if section.clock == "wall" else None, section.interlocks),
        )


class LabSection(Value):
    """A laboratory: a short name or ``module:Class``, the class's arguments, a clock of another kind.

    Interlocks and stock are added to what the class brings. ``remote`` says which stations are in processes of their
    own, or on other hosts.
    """

    type: str
    options: FrozenMap[JsonValue] = Field(default_factory=dict[str, JsonValue])
    clock: Literal["virtual", "wall"] | None = None
    interlocks: Tuple[Interlock] = ()
    stock: Tuple[Item] = ()
    remote: RemoteSection | None = None


class CampaignFile(Value):
    """What a campaign file holds: arguments of :class:`~sdl.Campaign`; None is the laboratory's own, or the default."""

    name: Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]
    lab: LabSection
    space: SpaceSection | None = None
    objective: Tuple[Objective] | None = None
    outcome_constraints: Tuple[OutcomeConstraint] = ()
    planner: PlannerSection = PlannerSection(type="bayesian")
    experiment: str | None = None
    budget: Budget = Budget()
    stopping: Tuple[Rule] = ()
    seed: Annotated[int, Field(ge=0)] = 0
    in_flight: Annotated[int, Field(ge=1)] | None = None
    fit_to_stock: bool = False
    suggest_ahead: bool = False
    schedule_ahead: When = "auto"
    autonomy: Autonomy = Autonomy()
    on_failure: FailurePolicy = FailurePolicy()
    on_unknown: UnknownPolicy | None = None
    quality: QualityControl | None = None
    checks: Tuple[str] = ()
    seed_data: Tuple[str] = ()
    planner_deadline: Annotated[float, Field(gt=0)] = 300.0
    planner_memory: str | None = None
    fallback: Literal["space-filling", "pause"] = "space-filling"
    store: str | None = None

    def make(self, folder: Path, **more: Any) -> Campaign:
        """Make the campaign.

        Parameters
        ----------
        folder
            Where the file lies. Its modules must be importable: the caller puts the folder on ``sys.path``.
        more
            Arguments of :class:`~sdl.Campaign` that no file can hold, such as ``progress``.
        """
        lab, plan = make_lab(self.lab, folder, self.seed)
        try:
            return self.on(lab, plan, folder, **more)
        except BaseException:
            lab.close()
            raise

    def on(self, lab: Lab, plan: str, folder: Path, **more: Any) -> Campaign:
        """Make the campaign on *lab*, whose own plan is called *plan*, whatever laboratory the file names."""
        return Campaign(self.name, lab=lab, **{**self._arguments(lab, plan, folder), **more})

    def _arguments(self, lab: Lab, plan: str, folder: Path) -> dict[str, Any]:
        return {
            "space": self.space_on(lab, folder),
            "objective": objectives_of(lab) if self.objective is None else self.objective,
            "outcome_constraints": self.outcome_constraints,
            "experiment": self._experiment(lab, plan),
            "planner": self.planner.make(),
            "seed": self.seed,
            "in_flight": self.in_flight,
            "fit_to_stock": self.fit_to_stock,
            "suggest_ahead": self.suggest_ahead,
            "schedule_ahead": self.schedule_ahead,
            "autonomy": self.autonomy,
            "budget": self.budget,
            "stopping": self.stopping,
            "seed_data": [load_seed(folder / path) for path in self.seed_data],
            "on_failure": self.on_failure,
            "on_unknown": self.on_unknown,
            "quality": self.quality,
            "checks": [imported(check, "check") for check in self.checks],
            "planner_deadline": self.planner_deadline,
            "planner_memory": self.planner_memory,
            "fallback": SpaceFillingFallback() if self.fallback == "space-filling" else None,
            "journal": None if self.store is None else folder / self.store,
        }

    def space_on(self, lab: Lab, folder: Path) -> SearchSpace:
        """Return the space that the campaign searches on *lab*."""
        return cast("SearchSpace", _own(lab, "space")()) if self.space is None else self.space.make(folder)

    def _experiment(self, lab: Lab, plan: str) -> Any:
        return _own(lab, plan) if self.experiment is None else imported(self.experiment, "experiment")


def load_campaign_file(path: Path) -> CampaignFile:
    """Read and check the campaign file at *path*.

    Raises
    ------
    ProblemError
        Names the file, the line, the key, the value, and what is allowed there.
    """
    size = path.stat().st_size
    if size > MAX_SIZE:
        raise ProblemError(f"{path} has {size} bytes, a campaign file at most {MAX_SIZE}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ProblemError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from None
    return parse_campaign(text, str(path))


def parse_campaign(text: str, where: str, *, lab: str | None = None) -> CampaignFile:
    """Check the text of a campaign file; *where* names it in messages, *lab* stands for one that it does not name."""
    source = YamlText.of(text, where)
    given = _long_form(source.data)
    if lab is not None:
        given.setdefault("lab", {"type": lab})
    try:
        data = json.dumps(given, allow_nan=False)
        return CampaignFile.model_validate_json(data)
    except ValidationError as error:
        raise _explain(source, error.errors(include_url=False)) from None
    except (ValueError, TypeError) as error:  # infinity or bytes: YAML can write them, JSON cannot
        raise ProblemError(f"{where}: {error}", hint="numbers are finite, texts are Unicode") from None


def _long_form(data: Mapping[str, Any]) -> dict[str, Any]:
    """Write out what the file may say in short: ``lab: thin-film``, one objective, ``pool: candidates.csv``."""
    found = dict(data)
    for key in ("lab", "planner"):
        if isinstance(found.get(key), str):
            found[key] = {"type": found[key]}
    if isinstance(found.get("objective"), dict):
        found["objective"] = [found["objective"]]
    if isinstance(found.get("autonomy"), int):
        found["autonomy"] = {"level": found["autonomy"]}
    space = found.get("space")
    if isinstance(space, dict) and isinstance(cast("dict[str, Any]", space).get("pool"), str):
        found["space"] = {**space, "pool": {"file": space["pool"]}}
    return found


# --- what it names ----------------------------------------------------------------------------------------------------


def imported(reference: str, what: str) -> Any:
    """Import ``module:name``. Raises CampaignError that says which of the two is not there."""
    module, colon, name = reference.partition(":")
    if not (module and colon and name):
        raise CampaignError(f"{what} {reference!r} is not of the form module:name", hint='as in "my_lab:measure"')
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CampaignError(
            f"{what} {reference!r}: there is no module {error.name!r}",
            hint="it is looked for in the folder of the campaign file, and among the installed packages",
        ) from None
    except ImportError as error:
        raise CampaignError(f"{what} {reference!r}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise CampaignError(f"{what} {reference!r}: {module} has no {name}")
        found = getattr(found, part)
    return found


def make_lab(section: LabSection, folder: Path, seed: int) -> tuple[Lab, str]:
    """Make the laboratory of *section*; return it and the name of its own plan.

    A class that takes ``seed`` gets the campaign's *seed*, unless the options say another.
    """
    made, plan, options = _lab_class(section, folder)
    signature = _signature(made, section.type)
    if "seed" in signature.parameters:
        options = {"seed": seed, **options}
    plain = dict(options)
    if section.clock is not None:
        options["clock"] = VirtualClock() if section.clock == "virtual" else WallClock()
    try:
        signature.bind(**options)
    except TypeError as error:
        known = listing(signature.parameters, 20) or "none"
        raise CampaignError(f"lab {section.type!r}: {error}", hint=f"its options are {known}") from None
    lab = made(**_values(made, options))
    if not isinstance(lab, Lab):
        raise CampaignError(f"lab {section.type!r} made a {type(lab).__name__}, which is no Lab")
    try:
        lab.add_interlocks(*section.interlocks)
        if section.stock:
            lab.add_stock(*section.stock)
        if section.remote is not None:
            section.remote.host(lab, section, plain, folder)
    except BaseException:
        lab.close()
        raise
    return lab, plan


def _signature(made: Any, name: str) -> inspect.Signature:
    hint = "name a class, or a function that makes a laboratory"
    if not (inspect.isclass(made) or inspect.isfunction(made)):
        raise CampaignError(f"lab {name!r} is no class", hint=hint)
    try:
        return inspect.signature(made)
    except ValueError as error:
        raise CampaignError(f"lab {name!r}: {error}", hint=hint) from None


def _lab_class(section: LabSection, folder: Path) -> tuple[Any, str, dict[str, Any]]:
    """Return class, name of its plan, and options."""
    options = dict(section.options)
    if ":" in section.type:
        return imported(section.type, "lab"), "experiment", options
    if section.type == TABLE:
        paths = {key: folder / str(options[key]) for key in ("table", "schema") if key in options}
        if "schema" in paths and "table" not in paths:
            paths["table"] = paths["schema"].parent
        return imported("sdl.simulators:TableLab", "lab"), "measure", options | paths
    twins: Mapping[str, Any] = imported("sdl.simulators.twins:TWINS", "lab")
    if section.type not in twins:
        raise _unknown("lab", section.type, [*twins, TABLE])
    return twins[section.type].load(), str(twins[section.type].plan), options


def _values(made: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Make a value of every option that is plain data where the class wants a value, such as the faults of a twin."""
    hints = get_type_hints(made.__init__ if inspect.isclass(made) else made)
    found = dict(options)
    for name, option in options.items():
        for kind in (hints.get(name), *get_args(hints.get(name))):
            if isinstance(option, dict) and inspect.isclass(kind) and issubclass(kind, Value):
                found[name] = kind.from_data(cast("object", option))
    return found


def objectives_of(lab: Lab) -> Any:
    """Return what the laboratory itself wants: its ``objective``, or its ``objectives``."""
    return _own(lab, "objective" if hasattr(lab, "objective") else "objectives")


def _own(lab: Lab, name: str) -> Any:
    """Return what the laboratory has for a key that the file leaves out."""
    if not hasattr(lab, name):
        key = {"objectives": "objective", "space": "space"}.get(name, "experiment")
        raise CampaignError(
            f"the file says no {key}, and the laboratory {lab.name!r} has none of its own", hint=f"add {key}:"
        )
    return getattr(lab, name)


def _unknown(what: str, name: str, known: Iterable[str]) -> CampaignError:
    return CampaignError(f"there is no {what} {name!r}", hint=f"it is one of {listing(known)}, or module:Class")


def read_pool(path: Path, space: SearchSpace, ignore: Sequence[str] = ()) -> CandidatePool:
    """Read candidates from a CSV file whose headings are the free parameters, each ``name`` or ``name [unit]``."""
    if not path.is_file():
        raise ProblemError(f"there is no pool {path}", hint="the path is taken from the folder of the campaign file")
    headings = {_heading(space, name): name for name in space.free} | {name: name for name in space.free}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        found = list(rows.fieldnames or ())
        strangers = [heading for heading in found if heading not in headings and heading not in ignore]
        missing = [name for name in space.free if name not in {headings.get(heading) for heading in found}]
        if strangers or missing:
            raise ProblemError(
                f"{path} has columns {listing(found) or '(none)'}: "
                + (f"{listing(strangers)} is no free parameter" if strangers else f"none for {listing(missing)}"),
                hint="name columns to be passed over in pool: {file: ..., ignore: [...]}" if strangers else "",
            )
        wanted = {heading: headings[heading] for heading in found if heading in headings}
        columns: dict[str, list[float | str]] = {name: [] for name in wanted.values()}
        for row in rows:
            for heading, name in wanted.items():
                columns[name].append(
                    _cell(row[heading], space.parameters[name], f"{path}, line {rows.line_num}, {heading}")
                )
    return CandidatePool(columns)


def _heading(space: SearchSpace, name: str) -> str:
    return f"{name} [{space.parameters[name].unit}]"


def _cell(text: str | None, parameter: Parameter, where: str) -> float | str:
    if text is None or not text.strip():
        raise ProblemError(f"{where}: the cell is empty")
    if isinstance(parameter, Categorical):
        return text.strip()
    try:
        return float(text)
    except ValueError:
        raise ProblemError(f"{where}: {text!r} is no number") from None


# --- what is wrong with it --------------------------------------------------------------------------------------------


def _explain(source: YamlText, errors: Sequence[ErrorDetails]) -> ProblemError:
    """Tell of the most telling of *errors*, with its line, and of how many more there are."""
    # A key that nobody knows comes first: where one is misspelt, the right one is missing as well.
    first = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    inner = first.get("ctx", {}).get("error")
    message, hint = (inner.message, inner.hint) if isinstance(inner, SdlError) else _in_words(first)
    more = f" (and {len(errors) - 1} more to mend)" if len(errors) > 1 else ""
    place, line = source.place_of(first["loc"])
    where = f"{source.where}, line {line}" if place else source.where
    key = f"{'.'.join(map(str, place))}: " if place else ""
    return ProblemError(f"{where}: {key}{message}{more}", hint=hint)


_SECTIONS: Mapping[str, type[Value]] = {
    "space": SpaceSection,
    "pool": PoolSection,
    "planner": PlannerSection,
    "lab": LabSection,
    "autonomy": Autonomy,
    "budget": Budget,
    "on_failure": FailurePolicy,
    "quality": QualityControl,
    "controls": Control,
    "replicates": Replicates,
    "outcome_constraints": OutcomeConstraint,
    "continuous": Continuous,
    "discrete": Discrete,
    "categorical": Categorical,
    "fixed": Fixed,
    "linear": LinearConstraint,
    "mixture": Mixture,
    "at_most": AtMost,
    "minimize": Minimize,
    "maximize": Maximize,
    "target": Target,
    "target_reached": TargetReached,
    "no_improvement": NoImprovement,
    "no_improvement_expected": NoImprovementExpected,
    "not_worth_it": NotWorthIt,
}
"""The keys and kinds below which fields of a class stand."""


_KINDS: Mapping[str, tuple[str, Sequence[str]]] = {
    "parameters": ("kind", ("continuous", "discrete", "categorical", "fixed")),
    "constraints": ("kind", ("linear", "mixture", "at_most")),
    "objective": ("kind", ("minimize", "maximize", "target")),
    "stopping": ("rule", ("target_reached", "no_improvement", "no_improvement_expected")),
}
"""The keys below which one of several kinds stands: what tells them apart, and what there is."""


def _in_words(error: ErrorDetails) -> tuple[str, str]:
    """Say what pydantic found wrong, and what is allowed."""
    steps = [str(step) for step in error["loc"]]
    match error["type"]:
        case "extra_forbidden":
            return _stranger(steps)
        case "missing":
            return f"the key {steps[-1]!r} is missing", ""
        case "union_tag_not_found" | "union_tag_invalid":
            key, kinds = next((_KINDS[step] for step in reversed(steps) if step in _KINDS), ("kind", ()))
            found = error.get("ctx", {}).get("tag")
            return (
                f"there is no {key} {found!r}" if found else f"the key {key!r} is missing",
                f"one of {listing(kinds)}",
            )
        case _:
            shown = repr(error["input"])
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            return f"{error['msg'][:1].lower()}{error['msg'][1:]}, got {shown}", ""


def _stranger(steps: Sequence[str]) -> tuple[str, str]:
    *parents, key = steps
    section = next((_SECTIONS[step] for step in reversed(parents) if step in _SECTIONS), CampaignFile)
    near = difflib.get_close_matches(key, section.model_fields, 1)
    allowed = f"allowed are {listing(section.model_fields, 20)}"
    return f"unknown key {key!r}", f"did you mean {near[0]!r}? {allowed}" if near else allowed
