"""What the benchmarks share: where and with what they ran, how tables are printed, how results are kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

# One thread for every library: what is measured is work, not how many cores share it.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

PACKAGES = ("sdl", "bluesky", "event-model", "torch", "botorch", "numpy", "scipy", "pydantic", "SQLAlchemy")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="fewer repeats: a first look in less than two minutes")
    made.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)  # does it run at all: for the tests
    made.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE as well")
    return made


def environment() -> dict[str, Any]:
    """Return when, where and with what this process runs."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "python": platform.python_version(),
        "machine": f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load": load(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def cpu_model() -> str:
    """Return what the processor calls itself."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "an unknown processor"


def load() -> float | None:
    """Return how many processes wanted a core during the last minute; timings suffer where these are many."""
    with suppress(OSError):
        return round(os.getloadavg()[0], 1)
    return None


def print_environment(found: Mapping[str, Any]) -> None:
    """Print :func:`environment`."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    print(f"{found['command']}\n{found['date']}, {found['machine']}, load {found['load']}")
    print(f"python {found['python']}, {versions}\n")


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table that reads well on a terminal and is Markdown too."""
    text = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in text) for column in range(len(headings))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in text]
    print(f"{title}\n")
    print(f"| {lines[0]} |")
    print(f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    for line in lines[1:]:
        print(f"| {line} |")
    print(flush=True)


def write_json(path: Path | None, results: Mapping[str, Any]) -> None:
    """Write *results* to *path*, if there is one."""
    if path is not None:
        path.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def to_int(text: str) -> int:
    """Read a count from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of *values*."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def written(self, digits: int = 3) -> str:
        """Write median and quartiles: ``12.3 (11.9 to 13.0)``."""
        spread = "" if self.low == self.high else f" ({short(self.low, digits)} to {short(self.high, digits)})"
        return short(self.median, digits) + spread


def short(value: float, digits: int = 3) -> str:
    """Write *value* with so many digits, and without a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def alternate(n_repeats: int, *measures: Callable[[], Any]) -> list[list[Any]]:
    """Call *measures* in turn, *n_repeats* times, every other time in reverse order; return the results of each.

    So a machine that slows down, or is busy with something else, does the same to all.
    """
    results: list[list[Any]] = [[] for _ in measures]
    for repeat in range(n_repeats):
        order = range(len(measures)) if repeat % 2 == 0 else reversed(range(len(measures)))
        for index in order:
            results[index].append(measures[index]())
    return results
