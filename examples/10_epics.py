"""A laboratory on EPICS: ophyd and ophyd-async in one campaign, and a server that dies in the middle of a move.

A process of its own serves the PVs of a flow cell over Channel Access, on the loopback interface. In the third trial it
is killed while the axis moves, and started again, as after a power cut. That trial fails, the axis is homed again, and
the campaign goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import sdl
from sdl.planners import SobolPlanner
from sdl.simulators import FlowCellIoc
from sdl.simulators.epics_optics import best

Plan = Callable[[Any, Any], Any]


class PowerCut:
    """Kills the server in the middle of the third trial's move, once."""

    def __init__(self, ioc: FlowCellIoc) -> None:
        self.ioc = ioc
        self.timer: threading.Timer | None = None

    def plan_of(self, plan: Plan) -> Plan:
        def measure(lab: sdl.Lab, s: sdl.Settings) -> Any:
            if s.trial == 3 and self.timer is None:
                self.timer = threading.Timer(0.3, self.cut)
                self.timer.start()
            return (yield from plan(lab, s))

        return measure

    def cut(self) -> None:
        self.ioc.kill()
        self.ioc.start()


def main() -> None:
    """Measure six settings, with a power cut on the way."""
    logging.getLogger("ophyd").setLevel(logging.CRITICAL)  # the power cut is in the journal, in one line
    with FlowCellIoc("cell:", seed=7) as ioc:
        ioc.use()  # before the first PV is looked for
        from sdl.simulators.epics_lab import FlowCellLab  # noqa: PLC0415

        cut = PowerCut(ioc)
        with FlowCellLab("cell:") as lab:
            campaign = sdl.Campaign(
                "flow cell",
                space=lab.space(),
                objective=lab.objective,
                planner=SobolPlanner(),
                experiment=cut.plan_of(lab.experiment),
                lab=lab,
                progress=False,
            )
            campaign.run(trials=6)
        for trial in campaign.trials:
            if trial.failure is not None:
                print(f"trial {trial.number} {trial.state}: {trial.failure.reason}")
        print(f"best: {campaign.best}")
        place, flow, brightness = best()
        print(f"the truth: {brightness:.3g} nA at {place:g} mm and {flow:.2g} mL/min")


if __name__ == "__main__":
    main()
