"""The plan: what is done with the values that a planner proposes. It is a bluesky plan."""

import bluesky.plan_stubs as bps

WAIT_S = 120.0


def mix_and_measure(lab, s):
    """Set the temperature, fill the cuvette, wait for the reaction, read the absorbance.

    `s` holds the values of one trial in the units of the search space. What is returned is what the trial gave: a
    mapping from outcome to measurement.
    """
    yield from bps.mv(lab.cuvette.temperature, s["temperature"])
    yield from bps.mv(lab.cuvette.filling, s["ligand"])
    yield from bps.sleep(WAIT_S)
    return (yield from lab.cuvette.measure())
