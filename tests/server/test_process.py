"""A server in a process of its own, over HTTPS: killed and started again it goes on, and so does who watches it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

import pytest
from browsing import CHROMIUM, FLAGS, PATIENCE, needs_chromium
from by_hand import FILE, LAB, MODULE
from certificates import certificate
from playwright.sync_api import Page, Request, expect, sync_playwright

import sdl
from sdl.errors import AccessError, CampaignError, TransportError
from sdl.journal import open_journal

T = TypeVar("T")


@contextlib.contextmanager
def process(folder: Path, port: str = "0") -> Generator[tuple[subprocess.Popen[str], str, str]]:
    """Run ``sdl serve``, on a port that the system chooses; yield the process, its address, and what it printed."""
    command = [sys.executable, "-m", "sdl", "serve", "lab.yaml", "--port", port]
    command += ["--certificate", "lab.crt", "--key", "lab.key"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            found = re.search(r"https://[0-9.:]+", line)
            assert found is not None, line
            yield child, found[0], line
        finally:
            child.kill()


@contextlib.contextmanager
def browser() -> Generator[Page]:
    """Open a window whose user believes the certificate."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_page(ignore_https_errors=True)
        page.set_default_timeout(PATIENCE)
        yield page
        chromium.close()


def until(look: Callable[[], T]) -> T:
    """Wait until there is something to be seen, and return it."""
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def follow(lab: sdl.Client, campaign: str, seen: list[int]) -> None:
    """Watch until a trial has been completed, from where one was; note the numbers of the events."""
    with contextlib.closing(lab.events(after=seen[-1] if seen else 0, campaign=campaign)) as events:
        for kind, event in events:
            seen += [event.sequence] if kind != "hello" else []
            if kind == "trial.completed":
                return


def say_yes(page: Page, note: str = "") -> None:
    """Confirm what the page asks."""
    if note:
        page.locator("dialog textarea").fill(note)
    page.locator("dialog [data-role=confirm]").click()


def answered(page: Page, path: str, note: str = "") -> None:
    """Confirm what the page asks; the server has taken it when this returns."""
    with page.expect_response(lambda response: path in response.url, timeout=PATIENCE) as got:
        say_yes(page, note)
    assert got.value.ok, got.value.text()


def press_approve(page: Page, trial: int) -> None:
    """Let the page of a campaign ask whether a trial is to be approved."""
    card = page.locator("article", has_text=f"Trial {trial}")
    card.get_by_role("button", name="Approve").click(timeout=PATIENCE)


def approve(page: Page, trial: int) -> None:
    """Approve a trial at the page of its campaign."""
    press_approve(page, trial)
    answered(page, "/approvals/")
    expect(page.locator("#told")).to_contain_text("Done", timeout=PATIENCE)


def weigh(page: Page, trial: int) -> None:
    """Say at the inbox that a sample was weighed."""
    page.get_by_role("link", name="Inbox").click()
    expect(page).to_have_url(re.compile("#/inbox"), timeout=PATIENCE)
    card = page.locator("article", has_text=f"Weigh the powder of sample {trial}")
    card.get_by_role("button", name="Done", exact=True).click(timeout=PATIENCE)
    answered(page, "/tasks/", "it was moist")


@needs_chromium
@pytest.mark.timeout(300)
def test_a_killed_server_goes_on_and_so_does_who_watches(tmp_path: Path) -> None:
    """Neither a client nor a page loses anything, or has it twice; an order that met no server is told of."""
    (tmp_path / "weighing.py").write_text(MODULE)
    (tmp_path / "lab.yaml").write_text(json.dumps(LAB))  # which is YAML
    verify = str(certificate(tmp_path)[0])
    seen: list[int] = []
    resumed: list[str | None] = []

    def note(request: Request) -> None:
        if request.url.endswith("/events"):
            resumed.append(request.headers.get("last-event-id"))

    with browser() as page:
        page.on("request", note)
        with process(tmp_path) as (child, address, line):
            found = re.search(r"#token=(sdl_[\w-]+)", line)
            assert found is not None
            token = found[1]
            with sdl.Client(address, token, verify=verify) as lab:
                campaign = lab.submit(FILE.replace("autonomy: 4", "autonomy: 1"))
                page.goto(f"{address}/#token={token}")
                page.get_by_role("link", name="by hand").click()
                page.evaluate("window.isTheSame = true")
                approve(page, 1)
                task = until(lambda: lab.inbox().tasks)[0]
                lab.answer_task(task.task, "done", "dry")
                follow(lab, campaign.id, seen)
                expect(page.locator("tbody tr.completed")).to_have_count(1, timeout=PATIENCE)
                expect(page.locator("article", has_text="Trial 2")).to_be_visible(timeout=PATIENCE)
                child.send_signal(signal.SIGKILL)
                child.wait()
                with pytest.raises(TransportError):
                    lab.me()
            expect(page.locator("header .link.lost")).to_be_visible(timeout=PATIENCE)
            press_approve(page, 2)
            say_yes(page)
            expect(page.locator("#told")).to_contain_text("no connection", timeout=PATIENCE)
            expect(page.locator("tbody tr.completed")).to_have_count(1)
        with process(tmp_path, address.rpartition(":")[2]) as (child, address, line):
            assert "token" not in line  # it was shown once
            with sdl.Client(address, "sdl_wrong", verify=verify) as stranger, pytest.raises(AccessError):
                stranger.me()
            expect(page.locator("header .link.live")).to_be_visible(timeout=PATIENCE)
            approve(page, 2)
            weigh(page, 2)
            with sdl.Client(address, token, verify=verify) as lab:
                follow(lab, campaign.id, seen)
                assert seen == sorted(set(seen))
                with pytest.raises(CampaignError):
                    lab.campaign("nowhere")
                page.goto(f"{address}/#/c/{campaign.id}")
                expect(page.locator("tbody tr.completed")).to_have_count(2, timeout=PATIENCE)
                approve(page, 3)
                until(lambda: lab.inbox().tasks)
                child.send_signal(signal.SIGTERM)  # what runs ends first, and people are served until it has
                until(lambda: lab.lab().engine == "ending")
                page.get_by_role("link", name="Laboratory").click()
                expect(page.get_by_text("The server is being ended")).to_be_visible(timeout=PATIENCE)
                weigh(page, 3)
            assert child.wait(60) == 0
        assert page.evaluate("window.isTheSame")  # it was never loaded again
    assert resumed[0] is None
    assert int(resumed[-1] or 0) >= int(next(each for each in resumed if each) or 0) >= seen[0]
    with contextlib.closing(open_journal(tmp_path / "server" / "journal.sdl", mode="read")) as journal:
        kinds = Counter(event.kind for event in journal.read(campaign="by hand"))
        told = [event.trial for event in journal.read(kinds=("trial.completed",))]
    assert told == [1, 2, 3]
    assert {kinds[each] for each in ("trial.proposed", "approval.given", "task.answered", "trial.completed")} == {3}
