"""A server in a process of its own, over HTTPS: killed and started again it goes on, and who watches resumes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from certificates import certificate

import sdl
from sdl.errors import AccessError, CampaignError, TransportError

FILE = "name: long\nplanner: random\nbudget: {trials: 3}\nautonomy: 1\n"  # it waits between two trials


@contextlib.contextmanager
def process(folder: Path) -> Generator[tuple[subprocess.Popen[str], str, str]]:
    """Run ``sdl serve`` on a port that the system chooses; yield the process, its address, and what it printed."""
    command = [sys.executable, "-m", "sdl", "serve", "thin-film", "--port", "0"]
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


def next_asked(lab: sdl.Client) -> int:
    """Wait until a trial is to be approved that runs in this process, and return its number."""
    deadline = time.monotonic() + 60
    while lab.campaign("long").state != "running" or not (asked := lab.inbox().approvals):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return asked[0].trials[0].trial


@pytest.mark.timeout(300)
def test_a_killed_server_goes_on_and_so_does_who_watches(tmp_path: Path) -> None:
    verify = str(certificate(tmp_path)[0])
    with process(tmp_path) as (child, address, line):
        found = re.search(r"#token=(sdl_[\w-]+)", line)
        assert found is not None
        token = found[1]
        with sdl.Client(address, token, verify=verify) as lab:
            campaign = lab.submit(FILE)
            seen: list[int] = []
            with contextlib.closing(lab.events(after=0, campaign=campaign.id)) as events:
                for kind, event in events:
                    seen += [event.sequence] if kind != "hello" else []
                    if kind == "approval.asked" and event.trial == 1:
                        lab.approve(campaign.id, 1)
                    if kind == "trial.completed":
                        break
            child.send_signal(signal.SIGKILL)
            child.wait()
            with pytest.raises(TransportError):
                lab.me()
    with process(tmp_path) as (child, address, line):
        assert "token" not in line  # it was shown once
        with sdl.Client(address, "sdl_wrong", verify=verify) as stranger, pytest.raises(AccessError):
            stranger.me()
        with sdl.Client(address, token, verify=verify) as lab:
            with contextlib.closing(lab.events(after=seen[-1], campaign=campaign.id)) as events:
                lab.approve(campaign.id, next_asked(lab))
                for kind, event in events:
                    seen += [event.sequence] if kind != "hello" else []
                    if kind == "trial.completed":
                        break
            assert seen == sorted(set(seen))
            deadline = time.monotonic() + 60
            while lab.campaign("long").state != "running":  # what was missed may be told before it goes on
                assert time.monotonic() < deadline
                time.sleep(0.05)
            with pytest.raises(CampaignError):
                lab.campaign("nowhere")
            lab.stop_everything(because="the test is over")
            assert lab.wait(campaign.id, 60).state == "aborted"
        child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert child.returncode == 0
