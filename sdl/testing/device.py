"""What every device must do, as a test class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from sdl.lab import Lab
from sdl.testing.device_checks import CHECKS, examine
from sdl.testing.device_subject import Promise, Subject, subjects_of


class DeviceContract:
    """Subclass it, give it a fixture ``lab``, and say which device is tested: :meth:`device`.

    All devices of the laboratory are tested where nothing is said. What the tests go by (limits, unit, tolerance,
    time-outs) the device says itself; the attributes below say it for one that does not, or narrow it.

    Run it on a simulated instrument first: the device is moved through its whole range. In virtual time that takes no
    time. What means nothing for a device is skipped, with the reason. ``sdl check-device`` makes the same checks.

    Attributes
    ----------
    low, high
        The limits within which the device may be set.
    unit
        What its readings are in.
    tolerance
        How far a readback may be from its set-point.
    longest
        Clock seconds that a move through the whole range may take.
    stop_seconds
        Clock seconds in which it must have stopped when told to.
    values
        By dotted name of a device: something that it can be set to, where that is no number, or not to be repeated.
    is_real
        Whether it is an instrument on a bench: then it moves by a tenth of its range, from where it stands and back.
    """

    low: ClassVar[float | None] = None
    high: ClassVar[float | None] = None
    unit: ClassVar[str | None] = None
    tolerance: ClassVar[float | None] = None
    longest: ClassVar[float | None] = None
    stop_seconds: ClassVar[float] = 5.0
    values: ClassVar[Mapping[str, object]] = {}
    is_real: ClassVar[bool] = False

    @pytest.fixture
    def lab(self) -> Iterator[Lab]:
        """Yield a laboratory with the device, and close it."""
        raise NotImplementedError("give the subclass a fixture named lab")

    def device(self, lab: Lab) -> Any:
        """Return the device of *lab* that is tested, or the driver whose parts are; all devices, if not overridden."""
        return lab

    def subjects(self, lab: Lab) -> Iterator[Subject]:
        """Yield the devices that are tested, with what they promise."""
        for subject in subjects_of(lab, self.device(lab), is_real=self.is_real):
            promise = Promise(
                low=self.low,
                high=self.high,
                unit=self.unit,
                tolerance=self.tolerance,
                longest=self.longest,
                stop_seconds=self.stop_seconds,
                value=self.values.get(subject.name),
            )
            yield Subject(lab, subject.name, subject.device, promise, self.is_real)

    def hold(self, name: str, lab: Lab) -> None:
        """Make the check *name*: fail where a device does not keep it, skip where it means nothing for any of them."""
        findings = [examine(CHECKS[name], subject) for subject in self.subjects(lab)]
        assert findings, "there is no device to test"
        failed = [f"{finding.device}: {finding.reason}" for finding in findings if finding.verdict == "failed"]
        assert not failed, "\n".join(failed)
        if all(finding.verdict == "not applicable" for finding in findings):
            pytest.skip("; ".join(f"{finding.device}: {finding.reason}" for finding in findings))

    def test_it_says_what_repeating_its_verbs_would_do(self, lab: Lab) -> None:
        """A laboratory whose devices do not say it does not load."""
        self.hold("actions", lab)

    def test_it_finds_itself_in_order(self, lab: Lab) -> None:
        """Its own ``self_test``, or its driver's."""
        self.hold("self-test", lab)

    def test_its_numbers_have_units(self, lab: Lab) -> None:
        """Those that it declares, and pint knows."""
        self.hold("units", lab)

    def test_its_readings_say_when_they_were_taken(self, lab: Lab) -> None:
        """By the clock of the laboratory."""
        self.hold("timestamps", lab)

    def test_what_lies_outside_its_limits_is_refused_and_moves_nothing(self, lab: Lab) -> None:
        """NaN and infinities included."""
        self.hold("limits", lab)

    def test_it_is_where_it_was_sent_when_it_says_so(self, lab: Lab) -> None:
        """In time, and by a reading that is newer than the command."""
        self.hold("readback", lab)

    def test_a_lie_of_its_would_be_noticed(self, lab: Lab) -> None:
        """A readback elsewhere, and one that is old."""
        self.hold("lies", lab)

    def test_it_stops_while_it_moves(self, lab: Lab) -> None:
        """The move ends, and it stays where it is."""
        self.hold("stop", lab)

    def test_it_does_what_is_safe(self, lab: Lab) -> None:
        """What it declares as its safe action."""
        self.hold("safe action", lab)

    def test_it_fails_in_time_when_its_line_says_nothing(self, lab: Lab) -> None:
        """And never says that it succeeded."""
        self.hold("time-out", lab)

    def test_it_works_again_after_its_line_was_cut(self, lab: Lab) -> None:
        """Without being made anew."""
        self.hold("reconnect", lab)
