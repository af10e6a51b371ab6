"""``sdl demo``: a campaign on a simulated laboratory, from one command."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sdl.campaign import Budget, Campaign, CampaignView, TrialState
from sdl.campaign.file import PLANNERS, objectives_of
from sdl.campaign.planner import Planner
from sdl.campaign.planning import PlannerSpec, spec_of
from sdl.commands.exports import beside, reported
from sdl.commands.facts import expectations, outcomes_text, point_text
from sdl.commands.output import say, say_facts, say_table, tell, title
from sdl.commands.run import conclude
from sdl.commands.stores import reading, stores_in
from sdl.errors import CampaignError, JournalNotFound
from sdl.export import words
from sdl.export.tables import winners, write_csv
from sdl.lab import WallClock
from sdl.simulators import TWINS, Twin

TRIALS, SEED, PLANNER = 30, 7, "bayesian"


@dataclass(frozen=True)
class DemoOptions:
    """What was asked for; None: as in the store, and where there is none yet, the usual."""

    trials: int | None = None
    seed: int | None = None
    planner: str | Planner | None = None
    in_flight: int | None = None
    real_time: bool = False

    def like(self, view: CampaignView | None, trials: int) -> DemoOptions:
        """Return what applies: what was asked for, then what the campaign was run with before, then the usual."""
        in_flight = 1 if view is None else view.settings.get("in_flight", 1)
        spec = None if view is None else spec_of(view.planner)
        return DemoOptions(
            trials=trials,
            seed=self.seed if self.seed is not None else (SEED if view is None else view.seed),
            planner=self.planner or (spec.make() if spec is not None else PLANNER),
            in_flight=self.in_flight or int(str(in_flight)),
            real_time=self.real_time,
        )


def list_twins() -> None:
    """Print the simulated laboratories, and how one is started."""
    title("Simulated laboratories")
    say_table(["name", "what it does"], [[name, twin.summary] for name, twin in TWINS.items()], indent=2)
    say(f"Start one with: sdl demo {next(iter(TWINS))} --trials {TRIALS} --seed {SEED}")


def demo(name: str, store: Path | None, options: DemoOptions) -> None:
    """Run the campaign of the twin *name*, or go on with it; then print the answer, and write picture and table."""
    twin = _twin(name)
    path = Path(f"{name}.sdl") if store is None else store
    before = _view(path, name)
    trials = options.trials or _trials_of(before) or TRIALS
    if before is not None and _is_done(before, trials, options):
        done = words.count(before.n_counted, "trial")
        tell(f"campaign {name} in {path} has its {done} already; it goes on with --trials {before.n_counted + 10}")
    else:
        _run(twin, name, path, options.like(before, trials))
    _conclude(name, path)


def _run(twin: Twin, name: str, path: Path, options: DemoOptions) -> None:
    with twin.load()(seed=options.seed, clock=WallClock() if options.real_time else None) as lab:
        campaign = Campaign(
            name,
            space=lab.space(),
            objective=objectives_of(lab),
            planner=_planner(options.planner),
            experiment=getattr(lab, twin.plan),
            lab=lab,
            seed=options.seed or 0,
            in_flight=options.in_flight or 1,
            budget=Budget(trials=options.trials),
            journal=path,
        )
        ended = campaign.run()
    conclude(name, ended.status, ended.reason)


def _twin(name: str) -> Twin:
    if name not in TWINS:
        raise CampaignError(f"there is no simulated laboratory {name!r}", hint=f"there is {', '.join(TWINS)}")
    return TWINS[name]


def _view(path: Path, name: str) -> CampaignView | None:
    """Return what the store knows of the campaign; None where it has not begun."""
    try:
        with reading(path) as journal:
            return CampaignView.of(journal, name) if name in journal.campaigns else None
    except JournalNotFound:
        return None


def _trials_of(view: CampaignView | None) -> int | None:
    """Return for how many trials the campaign was started last."""
    budget = None if view is None else view.settings.get("budget")
    trials = budget.get("trials") if isinstance(budget, dict) else None
    return trials if isinstance(trials, int) else None


def _is_done(view: CampaignView, trials: int, options: DemoOptions) -> bool:
    """Whether there is nothing left to do, and nothing else was asked for."""
    n_open = sum(view.counts[state] for state in TrialState if not state.is_final)
    is_same = options.seed in {None, view.seed}
    return is_same and n_open == 0 and view.n_counted >= trials


def _planner(chosen: str | Planner | None) -> Planner:
    if not isinstance(chosen, str | None):
        return chosen
    module, _, name = PLANNERS[chosen or PLANNER].partition(":")
    return PlannerSpec(module=module, name=name, options={}).make()


def _conclude(name: str, path: Path) -> None:
    with reading(path) as journal:
        view = CampaignView.of(journal, name)
        _say_answer(view, path)
        with tempfile.TemporaryDirectory(prefix="sdl-") as scratch:
            page, *pictures = reported(view, Path(scratch) / f"{name}.html", journal)
            files = {"report": _kept(page, beside(path, ".html"))}
            if pictures:
                files["picture"] = _kept(pictures[0], beside(path, ".png"))
        files["table"] = write_csv(view, beside(path, ".csv"))
    say_facts([*((what, str(file)) for what, file in files.items()), ("journal", str(path))], indent=0)


def _say_answer(view: CampaignView, path: Path) -> None:
    spent = f"{words.count(view.n_counted, 'trial')} and {words.duration(view.lab_seconds)} of laboratory time"
    title(f"The answer after {spent}")
    best = winners(view)
    if not best:
        say("no result yet")
    for trial in best:
        assert trial.observation is not None
        say(f"trial {trial.number}: {outcomes_text(trial.observation.outcomes)}")
        say(f"at {point_text(trial.values, trial.units)}")
        for line in expectations(trial, view.problem.outcomes):
            say(line)
    if best:
        store = "" if stores_in(Path()) == [path] else f" {path}"
        say(f"Why this one: sdl show {best[0].number}{store}")


def _kept(file: Path, target: Path) -> Path:
    """Move *file* to *target*."""
    return Path(shutil.move(file, target))
