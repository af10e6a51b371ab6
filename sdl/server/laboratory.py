"""The laboratory that a server runs, and which campaign files it takes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from sdl.campaign.campaign import Campaign
from sdl.campaign.file import PLANNERS, CampaignFile, LabSection, RemoteSection, make_lab, parse_campaign
from sdl.campaign.planning import functions_named
from sdl.campaign.yaml_text import YamlText
from sdl.errors import ProblemError
from sdl.lab import Interlock, Lab
from sdl.lab.materials import Item
from sdl.problem import SearchSpace
from sdl.problem.value import FrozenMap, Tuple, Value, listing
from sdl.server.notices import Notices

FILE_SUFFIXES = {".yaml", ".yml"}


class LabFile(Value):
    """What a laboratory file says.

    Parameters
    ----------
    type, options, clock, interlocks, stock, remote
        The laboratory, as in the ``lab`` of a campaign file.
    experiments, planners, checks
        What campaigns may name beside the laboratory's own experiment and the planners that have a short name, each as
        ``module:name``.
    hosts
        The names under which people reach the server, beside those of this machine.
    at_once
        How many campaigns run at a time; the others queue.
    notices
        Who is told of what, by e-mail or webhook.
    """

    type: str
    options: FrozenMap[JsonValue] = Field(default_factory=dict[str, JsonValue])
    clock: Literal["virtual", "wall"] | None = None
    interlocks: Tuple[Interlock] = ()
    stock: Tuple[Item] = ()
    remote: RemoteSection | None = None
    experiments: Tuple[str] = ()
    planners: Tuple[str] = ()
    checks: Tuple[str] = ()
    hosts: Tuple[str] = ()
    at_once: Annotated[int, Field(ge=1, le=100)] = 4
    notices: Notices = Notices()

    def section(self, *, clock: Literal["virtual", "wall"] | None) -> LabSection:
        """Return what makes the laboratory, with the *clock*."""
        return LabSection(
            type=self.type,
            options=self.options,
            clock=clock,
            interlocks=self.interlocks,
            stock=self.stock,
            remote=None if clock == "virtual" else self.remote,
        )


def load_laboratory(given: str) -> Laboratory:
    """Read what names a laboratory: a short name, ``module:Class``, or a laboratory file (``.yaml``).

    Raises
    ------
    ProblemError
        The file is not there, or says something that makes no sense.
    """
    path = Path(given)
    if path.suffix not in FILE_SUFFIXES:
        return Laboratory(LabFile(type=given), Path.cwd())
    if not path.is_file():
        raise ProblemError(f"there is no laboratory file {path}", hint="or name it: module:Class, or a short name")
    source = YamlText.of(path.read_text(encoding="utf-8"), str(path))
    try:
        return Laboratory(LabFile.from_data(source.data), path.resolve().parent)
    except ProblemError as error:
        raise ProblemError(f"{path}: {error.message}", hint=error.hint) from error


@dataclass(frozen=True)
class Laboratory:
    """A laboratory, and the folder that its modules are looked for in."""

    file: LabFile
    folder: Path

    def make(self, *, is_rehearsal: bool = False) -> tuple[Lab, str]:
        """Make the laboratory; return it and the name of its own plan. A rehearsal takes place in virtual time."""
        place = str(self.folder)
        if place not in sys.path:
            sys.path.insert(0, place)
        return make_lab(self.file.section(clock="virtual" if is_rehearsal else self.file.clock), self.folder, 0)

    def read(self, text: str) -> CampaignFile:
        """Check a campaign file that was handed in.

        Raises
        ------
        ProblemError
            It makes no sense, or asks for what only the laboratory's own people may say: which modules are imported,
            which files are read, what the laboratory is and what its limits are.
        """
        described = parse_campaign(text, "the file", lab=self.file.type)
        for key, wrong, hint in self._objections(described):
            if wrong:
                raise ProblemError(f"the file: {key}: {wrong}", hint=hint)
        return described

    def keys_of(self, text: str) -> frozenset[str]:
        """Return what a campaign file speaks of."""
        return frozenset(YamlText.of(text, "the file").data)

    def space(self, described: CampaignFile, lab: Lab) -> SearchSpace:
        """Return the space that a campaign of the file searches on *lab*."""
        return described.space_on(lab, self.folder)

    def _objections(self, described: CampaignFile) -> list[tuple[str, str, str]]:
        own, lab = self.file, described.lab
        is_bare = lab == LabSection(type=lab.type)
        named = [described.planner.type] if described.planner.type not in PLANNERS else []
        experiment = [] if described.experiment is None else [described.experiment]
        pool = None if described.space is None else described.space.pool
        here = "the laboratory's own people say that, in its file"
        return [
            ("lab", "" if lab.type == own.type else f"this is {own.type}, not {lab.type}", "leave lab: out"),
            (
                "lab",
                "" if is_bare else "no options, clock, interlocks, stock or remote can be handed in",
                here,
            ),
            _unlisted("planner", named, [*PLANNERS, *own.planners]),
            _unlisted("planner.prior_mean", functions_named(dict(described.planner.options)), own.planners),
            _unlisted("experiment", experiment, own.experiments),
            _unlisted("checks", described.checks, own.checks),
            ("seed_data", "no files can be named" if described.seed_data else "", "hand the data in as trials"),
            ("space.pool", "no files can be named" if pool is not None else "", "make a discrete space of it"),
            ("store", "" if described.store is None else "the laboratory has one journal", "leave store: out"),
            ("budget", _endless(described), "say budget: {trials: 30}"),
        ]

    def campaign(self, described: CampaignFile, lab: Lab, plan: str, **more: Any) -> Campaign:
        """Make the campaign of a file on *lab*."""
        return described.on(lab, plan, self.folder, **more)


def _endless(described: CampaignFile) -> str:
    budget = described.budget
    is_endless = budget.trials is None and budget.lab_time is None and budget.cost is None and not described.stopping
    return "the campaign would never end" if is_endless else ""


def _unlisted(key: str, named: Any, known: Any) -> tuple[str, str, str]:
    strangers = [name for name in named if name not in known]
    wrong = f"{listing(strangers)} is not among what campaigns may name here" if strangers else ""
    return key, wrong, f"there is {listing(known, 20) or 'none'}; the laboratory's file may list more"
