"""Watch a long campaign in Chromium: page.py [--trials N] [--updates N] [--pause SECONDS] [--failures SHARE].

A campaign of *trials* trials is written into the store of a served laboratory and opened at the page. Then more trials
come in, one at a time, and the page follows. Prints how long it took until the page showed the campaign, and
each new trial, how long its main thread was busy in one go at most, and what the server needed for each answer. Fails
where a new trial was not shown, or where the main thread was busy for too long in one go while it followed. That
counts in processor time, which is what a core of its own takes; other work makes a pause longer on the wall.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "server"))

from asking import PEOPLE, Asking, served  # noqa: E402 # pyright: ignore[reportMissingImports] # it is beside the tests
from listening import listening  # noqa: E402 # pyright: ignore[reportMissingImports]
from playwright.sync_api import CDPSession, Page, sync_playwright  # noqa: E402

from sdl.journal.records import Body, Entry, Event, Failure, FailureCategory, TrialFailed  # noqa: E402

BUSY = """
window.busy = [];
new PerformanceObserver((list) => { for (const one of list.getEntries()) window.busy.push(one.duration); })
  .observe({ entryTypes: ["longtask"] });
"""

AT_MOST = 100.0
"""Milliseconds of processor time for which the page may be busy in one go while it follows: a longer pause is felt."""

KINDS = ("trial.proposed", "trial.started", "step.started", "step.ended", "trial.completed")

PATIENCE = 120_000.0


def events_like(model: list[Event], number: int, rng: random.Random, failures: float) -> Iterator[Entry]:
    """Yield the events of trial *number*, made after those of a trial that was run."""
    is_failure = rng.random() < failures
    values = {"oxygen": 10 ** rng.uniform(-2, 0), "temperature": rng.uniform(20, 400), "power": rng.uniform(40, 200)}
    value = 10 ** rng.uniform(1, 5) + 1e5 / number
    for event in model:
        body: Any = event.body
        match event.kind:
            case "trial.proposed":
                body = body.replace(values=values)
            case "step.ended":
                body = body.replace(is_success=not is_failure)
            case "trial.completed" if is_failure:
                body = TrialFailed(failure=Failure(category=FailureCategory.DEVICE, reason="the shutter is stuck"))
            case "trial.completed":
                seen = body.observation.outcomes["resistance"].replace(value=value)
                body = body.replace(observation=body.observation.replace(outcomes={"resistance": seen}))
            case _:
                pass
        known: Body = body
        yield Entry(known, event.campaign, number)


def fill(asking: Asking, campaign: str, numbers: range, model: list[Event], options: argparse.Namespace) -> None:
    """Write trials into the journal."""
    rng = random.Random(numbers.start)  # no secret
    for first in range(numbers.start, numbers.stop, 500):
        part = range(first, min(first + 500, numbers.stop))
        asking.journal.append(*(entry for n in part for entry in events_like(model, n, rng, options.failures)))
    assert asking.get("ada", f"/campaigns/{campaign}")["counts"]["completed"] > 0


def answered(asking: Asking, path: str) -> str:
    """Ask twice; say how long each answer took."""
    seconds: list[float] = []
    size = 0
    for _ in range(2):
        began = time.perf_counter()
        size = len(asking("ada", "GET", path).content)
        seconds.append(time.perf_counter() - began)
    return f"GET {path}: {1000 * seconds[0]:.0f} ms, then {1000 * seconds[1]:.0f} ms; {size} bytes"


def worked(meter: CDPSession) -> float:
    """Return for how many seconds of processor time the page's main thread has worked."""
    found = meter.send("Performance.getMetrics")["metrics"]
    return next(float(each["value"]) for each in found if each["name"] == "TaskDuration")


def longest(trace: bytes) -> float:
    """Return the most milliseconds of processor time that a page's main thread has worked in one go."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        each for each in events if (each["pid"], each["tid"]) in mains and each.get("name", "").endswith("RunTask")
    ]
    return max((float(each.get("tdur", each.get("dur", 0))) / 1000.0 for each in tasks), default=0.0)


def shown(page: Page, number: int) -> float:
    """Wait until trial *number* stands in the table; return the seconds that it took."""
    began = time.perf_counter()
    page.locator(f"tbody a[href$='/t/{number}']").first.wait_for(state="attached", timeout=PATIENCE)
    return time.perf_counter() - began


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two new trials")
    parser.add_argument("--failures", type=float, default=0.05, help="share of trials that fail")
    parser.add_argument("--screenshot", type=Path)
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.error("needs chromium: apt-get install chromium")
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "server", PEOPLE) as asking,
        listening(asking) as address,
        sync_playwright() as playwright,
    ):
        campaign = str(asking.submit("ada", "long", trials=1, level=4)["id"])
        asking.until("ada", campaign, lambda found: found["state"] == "finished")
        model = [event for event in asking.journal.read(campaign="long") if event.trial == 1 and event.kind in KINDS]
        began = time.perf_counter()
        fill(asking, campaign, range(2, options.trials + 1), model, options)
        print(f"{options.trials} trials written in {time.perf_counter() - began:.1f} s", flush=True)
        own = ("", "/progress", f"/progress?after={options.trials - 1}", f"/trials?after={options.trials - 50}")
        for path in (*(f"/campaigns/{campaign}{each}" for each in own), "/campaigns", "/inbox", "/lab", "/timeline"):
            print(answered(asking, path), flush=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(BUSY)
        page.goto(f"{address}/#token={asking.tokens['ada']}")
        page.locator("header .link.live").wait_for(timeout=PATIENCE)
        page.goto(f"{address}/#/c/{campaign}")
        first = shown(page, options.trials)
        page.locator("canvas").first.wait_for(timeout=PATIENCE)
        page.wait_for_timeout(3000)
        busy = page.evaluate("window.busy.splice(0)")
        print(f"first shown after {first:.2f} s; busy in one go at most {max(busy, default=0):.0f} ms", flush=True)
        meter = page.context.new_cdp_session(page)
        meter.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = worked(meter)
        browser.start_tracing(
            page=page, categories=["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]
        )
        waits: list[float] = []
        for number in range(options.trials + 1, options.trials + options.updates + 1):
            fill(asking, campaign, range(number, number + 1), model, options)
            waits.append(shown(page, number))
            time.sleep(options.pause)
        page.wait_for_timeout(1000)
        busy = page.evaluate("window.busy.splice(0)")
        spent = (worked(meter) - before) / len(waits)
        most = longest(browser.stop_tracing())
        waits.sort()
        print(
            f"{len(waits)} new trials: shown after {statistics.median(waits):.2f} s (median), {waits[-1]:.2f} s (last);"
            f" busy in one go for at most {most:.0f} ms of processor time, {max(busy, default=0):.0f} ms on the wall;"
            f" {1000 * spent:.0f} ms of processor time of its main thread each"
        )
        if options.screenshot:
            page.screenshot(path=options.screenshot, full_page=True)
        browser.close()
    return 1 if most > AT_MOST else 0


if __name__ == "__main__":
    sys.exit(main())
