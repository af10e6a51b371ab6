"""The commands for those who bring an instrument: their names, arguments and help, as in ``app.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check_device(
    device: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS", help="A device, a driver or a laboratory.", show_default=False)
    ],
    *,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="What it is made with; JSON or text.", show_default=False),
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option("--limits", metavar="NAME=LOW:HIGH", help="Where a part of it may go.", show_default=False),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option("--value", metavar="NAME=VALUE", help="What a part of it can be set to.", show_default=False),
    ] = None,
    is_real: Annotated[
        bool | None,
        typer.Option("--bench/--simulated", help="An instrument, or a simulated one.", show_default=False),
    ] = None,
    settle: Annotated[
        float, typer.Option("--settle", min=0.0, metavar="SECONDS", help="In which it has to stand still when stopped.")
    ] = 5.0,
    is_agreed: Annotated[bool, typer.Option("--yes", help="Ask nobody before instruments act.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Check that a device keeps its contract.

    Limits, units, readback, stop, time-outs, reconnection, a device that lies. On a bench it asks before anything acts,
    and moves by a tenth of the range.
    """
    from sdl.commands.check_device import check_device, order_of

    order = order_of(
        device, options=option or (), limits=limits or (), values=value or (), is_real=is_real, settle=settle
    )
    raise typer.Exit(check_device(order, is_agreed=is_agreed, as_json=as_json))


def new(
    name: Annotated[
        str, typer.Argument(metavar="LAB|driver", help="The folder to make, or: driver NAME.", show_default=False)
    ],
    driver: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The driver to make.", show_default=False)
    ] = None,
) -> None:
    """Make a folder with a laboratory, or a driver, to edit.

    It holds a driver, a simulated instrument, a plan, a campaign and passing tests.
    """
    from sdl.commands.new import new, new_driver

    if driver is None:
        new(Path(name))
    elif name == "driver":
        new_driver(Path(driver))
    else:
        raise typer.BadParameter(f"{name!r} cannot be made: sdl new LAB, or sdl new driver NAME", param_hint="LAB")
