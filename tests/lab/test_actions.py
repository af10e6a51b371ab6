"""Every verb says what repeating it would do, or its laboratory does not load."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from ophyd_async.core import SignalX, StandardReadable, soft_signal_rw
from plain_devices import Knob, Meter

from sdl.errors import LabError
from sdl.lab import ActionClass, Lab
from sdl.lab.actions import Actions, ActRecord, Evidence, acting_verbs, default_class

ophyd: Any = importlib.import_module("ophyd")  # ophyd declares no types
sim: Any = importlib.import_module("ophyd.sim")


class Shutter:
    """Says nothing of itself."""

    name, parent = "shutter", None

    def set(self, value: float) -> None: ...

    def stage(self) -> None: ...

    def unstage(self) -> None: ...


class Laser(ophyd.Device):  # type: ignore[misc] # ophyd declares no types
    """An ophyd device whose author wrote its trigger anew."""

    def trigger(self) -> Any: ...


class Table(ophyd.SoftPositioner):  # type: ignore[misc] # as above
    """A positioner that scales what it is told."""

    def set(self, value: float) -> Any: ...


def test_an_undeclared_verb_is_refused_and_the_message_has_the_line_to_write() -> None:
    with pytest.raises(LabError) as caught:
        Lab("bench", shutter=Shutter(), cell=SimpleNamespace(pump=Shutter(), knob=Knob("knob")))
    message = str(caught.value)
    for verb in ("shutter.set", "shutter.stage", "shutter.unstage", "cell.pump.set", "cell.pump.unstage"):
        assert verb in message
    assert 'actions={"shutter": {"set": "...", "stage": "...", "unstage": "..."}, "cell.pump": ' in message
    assert "read, set_absolute, cumulative, irreversible, transfer" in message
    assert "knob" not in message


def test_the_laboratory_declares_for_a_device_that_does_not_and_has_the_last_word() -> None:
    verbs = {"set": "cumulative", "stage": "set_absolute", "unstage": "set_absolute"}
    with Lab(
        "bench", shutter=Shutter(), knob=Knob("k"), actions={"shutter": verbs, "knob": {"set": "transfer"}}
    ) as lab:
        actions = lab.stations["bench"].actions
        assert actions.of(lab.shutter, "set") is ActionClass.CUMULATIVE
        assert actions.of(lab.knob, "set") is ActionClass.TRANSFER


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"knob": {"set": "often"}}, ["knob.set", "'often'", "read, set_absolute"]),
        ({"knob": {"trigger": "read"}}, ["'knob'", "trigger"]),
        ({"valve": {"set": "read"}}, ["'valve'", "set"]),
    ],
)
def test_a_declaration_that_fits_nothing_is_refused(declared: dict[str, dict[str, str]], words: list[str]) -> None:
    with pytest.raises(LabError) as caught:
        Lab("bench", knob=Knob("knob"), actions=declared)
    assert all(word in str(caught.value) for word in words)


def test_what_is_no_mapping_is_refused() -> None:
    knob = Knob("knob")
    knob.action_classes = "set_absolute"  # type: ignore[assignment,misc] # that is the point
    with pytest.raises(LabError, match="action_classes of knob is 'set_absolute'"):
        Lab("bench", knob=knob)


@pytest.mark.parametrize(
    ("kind", "verb", "expected"),
    [
        (ophyd.Signal, "set", "set_absolute"),
        (ophyd.EpicsSignal, "set", "set_absolute"),
        (ophyd.EpicsMotor, "set", "set_absolute"),
        (ophyd.PVPositioner, "set", "set_absolute"),
        (ophyd.SoftPositioner, "set", "set_absolute"),
        (sim.SynAxis, "set", "set_absolute"),
        (sim.SynGauss, "trigger", "read"),
        (ophyd.SimDetector, "trigger", "read"),
        (ophyd.SimDetector, "stage", "set_absolute"),
        (ophyd.Device, "trigger", "read"),
        (type(soft_signal_rw(float)), "set", "set_absolute"),
        (StandardReadable, "stage", "set_absolute"),
        (Table, "set", "set_absolute"),
        (Laser, "trigger", None),
        (SignalX, "trigger", None),
        (Shutter, "set", None),
    ],
)
def test_what_is_known_of_the_bases(kind: type, verb: str, expected: str | None) -> None:
    assert default_class(kind, verb) == expected


def test_the_bases_of_ophyd_async_by_their_names() -> None:
    core: Any = importlib.import_module("ophyd_async.core")

    class Camera(core.StandardDetector):  # type: ignore[misc] # looked up by name
        def trigger(self) -> Any: ...

    assert default_class(core.StandardMovable, "set") is ActionClass.SET_ABSOLUTE
    assert default_class(Camera, "trigger") is ActionClass.READ
    assert default_class(Camera, "prepare") is ActionClass.READ


def test_a_method_is_a_verb_only_beside_its_companions() -> None:
    class Kitchen:
        action_classes: ClassVar[dict[str, str]] = {}

        def stage(self) -> None: ...

        def configure(self) -> None: ...

        def trigger(self) -> None: ...

    assert list(acting_verbs(Kitchen())) == ["trigger"]


def test_what_a_device_cannot_do_does_no_harm() -> None:
    actions = Actions()
    assert actions.of(Meter("meter"), "stage") is ActionClass.READ  # standard plans stage whatever they are given
    with pytest.raises(LabError, match=r"a plan: nobody has said what repeating shutter\.set would do"):
        actions.of(Shutter(), "set")


def test_what_is_known_of_an_act() -> None:
    act = ActRecord(
        act="3.1.dose.1",
        trial=3,
        attempt=1,
        step="dose",
        station="bench",
        device="pump",
        verb="set",
        action_class=ActionClass.CUMULATIVE,
        arguments={"args": [0.123456789], "unit": "mL", "kwargs": {"slowly": True}},
        intended_at=0.0,
    )
    assert str(act) == "pump.set(0.123457 mL, slowly=True) (cumulative)"
    assert (act.is_unknown, act.has_happened) == (True, None)


def test_evidence_says_one_of_three_things() -> None:
    assert (
        str(Evidence("happened", "2.1 mg on the balance", 0.01)) == "2.1 mg on the balance (wrong in 0.01 of all cases)"
    )
    with pytest.raises(LabError, match="happened, did_not_happen or cannot_tell"):
        Evidence("perhaps", "a noise")  # type: ignore[arg-type] # that is the point
