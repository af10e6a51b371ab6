"""What must hold before the driver is let near the instrument."""

from collections.abc import Generator, Iterator
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from sdl import Lab, SdlError
from sdl.testing import DeviceContract

from lab import make_lab


class TestMyDevice(DeviceContract):
    """Limits, units, readback, stop, time-outs, reconnection: all that every device must do."""

    @pytest.fixture
    def lab(self) -> Iterator[Lab]:
        """Yield the simulated laboratory."""
        with make_lab(simulated=True) as made:
            yield made


def test_what_this_laboratory_does_not_allow_is_refused() -> None:
    def too_hot(lab: Any, _: Any) -> Generator[Any, Any, None]:
        yield from bps.mv(lab.my_device.temperature, 200)

    with make_lab(simulated=True) as lab, pytest.raises(SdlError, match="allows"):
        lab.run(too_hot)
