"""The front door: the ``sdl`` command, also as ``python -m sdl``."""

from __future__ import annotations


def main() -> None:
    """Run the command line and leave with its exit code."""
    from sdl.commands.app import app
    from sdl.commands.output import spare_signs

    spare_signs()
    app(prog_name="sdl")


if __name__ == "__main__":
    main()
