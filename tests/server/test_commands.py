"""The ``sdl`` command at a laboratory that is served over HTTPS: what it does to a store, it does there."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from asking import FILMS, Asking
from certificates import certificate
from listening import listening
from typer.testing import CliRunner, Result

import sdl
from sdl.commands.app import app
from sdl.errors import AccessError, TransportError
from sdl.journal.records import Entry, StepStarted, TrialStarted
from sdl.server.house import REHEARSALS


class Shell:
    """Somebody's terminal, far away from the laboratory."""

    def __init__(self, address: str, certificate: Path, tokens: dict[str, str], folder: Path) -> None:
        self.address, self.certificate, self.tokens, self.folder = address, certificate, tokens, folder

    def __call__(self, who: str, *words: str | Path) -> Result:
        token = self.folder / f"{who}.token"
        token.touch(mode=0o600)
        token.write_text(self.tokens[who] + "\n", encoding="utf-8")
        line = ("--lab", self.address, "--token-file", str(token), "--certificate", str(self.certificate))
        return CliRunner().invoke(app, [*map(str, words), *line], prog_name="sdl")

    def says(self, who: str, *words: str | Path) -> str:
        """Return what a command prints that goes well."""
        done = self(who, *words)
        assert done.exit_code == 0, done.output
        return done.stdout


@pytest.fixture(scope="module")
def shell(asking: Asking, tmp_path_factory: pytest.TempPathFactory) -> Generator[Shell]:
    folder = tmp_path_factory.mktemp("far")
    tls = certificate(folder)
    with listening(asking, tls=tls) as address:
        assert address.startswith("https://")
        yield Shell(address, tls[0], asking.tokens, folder)


def film(folder: Path, name: str, *, trials: int = 2, level: int = 4) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(FILMS.format(name=name, trials=trials, level=level), encoding="utf-8")
    return path


def identifier(asking: Asking, name: str) -> str:
    return next(str(each["id"]) for each in asking.get("kim", "/campaigns")["campaigns"] if each["name"] == name)


def test_a_campaign_is_run_there_and_its_results_are_read_from_afar(
    asking: Asking, shell: Shell, tmp_path: Path
) -> None:
    file = film(tmp_path, "far")
    assert "bottleneck" in shell.says("ada", "rehearse", file)
    said = shell.says("ada", "run", file)
    assert "trial 1: resistance = " in said
    assert "Ω at oxygen" in said
    assert "trial 2" in said
    assert "campaign far: finished" in shell.says("ada", "status", "far")
    everything = json.loads(shell.says("ada", "status", "--json"))
    assert everything["me"]["name"] == "ada"
    assert {"far", "warm"} <= {each["name"] for each in everything["campaigns"]}
    assert "proposed it, after 1 results" in shell.says("ada", "show", "2", "far")
    assert json.loads(shell.says("ada", "show", "2", "--campaign", "far", "--json"))["state"] == "completed"
    assert shell.says("ada", "export", "far", "--csv", "-").startswith("trial,state,")
    page = tmp_path / "far.html"
    assert str(page) in shell.says("ada", "report", "far", "-o", page)
    assert asking.journal.head[1] in page.read_text(encoding="utf-8")  # the laboratory's own, to verify against
    shell.says("ada", "export", "far", "--events", tmp_path / "events.jsonl")
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert kinds[:2] == ["campaign.submitted", "campaign.ordered"]
    assert kinds.count("trial.completed") == 2
    assert "document" not in kinds
    assert "resistance = " in shell.says("ada", "run", file)  # it is over: the same command says how it ended
    file.write_text(file.read_text().replace("sobol", "random"))
    assert "of another file" in shell("ada", "run", file).stderr
    assert "trial 1 is suspect" in shell.says("ada", "verdict", "far", "1", "suspect", "--because", "it slipped")


def test_trials_are_approved_and_campaigns_ordered_from_afar(asking: Asking, shell: Shell, tmp_path: Path) -> None:
    file = film(tmp_path, "asked", trials=1, level=1)
    assert "campaign asked: " in shell.says("sato", "run", file, "--detach")
    campaign = identifier(asking, "asked")
    asking.until("sato", campaign, lambda found: found["n_approvals"] == 1)
    listed = shell.says("lee", "approve", "asked")
    assert "why       " in listed
    assert "sdl approve CAMPAIGN TRIAL --lab" in listed
    assert "takes the role approve" in shell("sato", "approve", "asked", "1").stderr
    assert "the token is that of lee" in shell("lee", "approve", "asked", "1", "--by", "Kim").stderr
    assert "campaign asked: running" in shell.says("kim", "status")
    assert "approved by lee" in shell.says("lee", "approve", "asked", "1")
    asking.until("sato", campaign, lambda found: found["state"] == "finished")
    shell.says("sato", "run", film(tmp_path, "waits", level=1), "--detach")
    assert "campaign waits: " in shell.says("kim", "order", "waits", "pause", "--because", "lunch")
    asking.until("sato", identifier(asking, "waits"), lambda found: found["state"] == "paused")
    assert "paused by kim: lunch" in shell.says("sato", "status", "waits")
    assert "somebody with the role operate can" in shell("sato", "order", "waits", "resume").stderr
    assert "every campaign" in shell.says("kim", "stop", "--because", "smoke")
    stopped = [event.body for event in asking.events("station.stopped")]
    assert any(getattr(body, "because", "") == "smoke" for body in stopped)
    assert "is latched" in shell("kim", "rearm", "--because", "looked").stderr
    assert "no stock is kept there" in shell.says("sato", "stock")
    assert "takes the role operate" in shell("sato", "stock", "add", "ethanol", "20 mL").stderr
    assert "ethanol" in shell.says("kim", "stock", "add", "ethanol", "20 mL", "--lot", "A1")


def test_an_unknown_trial_is_answered_from_afar(asking: Asking, shell: Shell) -> None:
    asking.submit("ada", "lost", trials=1, level=4)
    asking.until("ada", identifier(asking, "lost"), lambda found: found["state"] == "finished")
    (proposed,) = [event.body for event in asking.journal.read(campaign="lost", kinds=("trial.proposed",))]
    cut = (proposed, TrialStarted(attempt=1), StepStarted(step="make", station="thin-film", attempt=1))
    asking.journal.append(*(Entry(body, "lost", 2) for body in cut))
    assert "the process that ran it is gone" in shell.says("kim", "resolve")
    done = shell.says("kim", "resolve", "lost", "2", "--then", "failed", "--because", "nothing there")
    assert "trial 2 of lost is failed" in done
    assert "no trial is unknown" in shell.says("kim", "resolve", "lost")


def test_who_cannot_be_trusted_gets_no_token(shell: Shell, tmp_path: Path, monkeypatch: Any) -> None:
    with (
        sdl.Client(shell.address, shell.tokens["ada"]) as stranger,
        pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"),  # nobody whom this machine knows has signed
    ):
        stranger.me()
    with pytest.raises(AccessError, match="in the clear"):
        sdl.Client("http://lab.example.org", shell.tokens["ada"])
    with pytest.raises(AccessError, match="no certificate"):
        sdl.Client(shell.address, shell.tokens["ada"], verify=str(film(tmp_path, "no")))
    token = tmp_path / "token"
    token.write_text(shell.tokens["ada"])
    token.chmod(0o644)
    words = ["status", "--lab", shell.address]
    assert "chmod 600" in CliRunner().invoke(app, [*words, "--token-file", str(token)]).stderr
    monkeypatch.delenv("SDL_TOKEN", raising=False)
    assert "wants a token" in CliRunner().invoke(app, words).stderr
    monkeypatch.setenv("SDL_TOKEN", shell.tokens["ada"])
    assert "campaign warm" in CliRunner().invoke(app, [*words, "--certificate", str(shell.certificate)]).stdout
    assert "add --lab" in CliRunner().invoke(app, ["status", "--token-file", str(token)]).stderr
    assert "add --lab" in CliRunner().invoke(app, ["order", "x", "stop"]).stderr


def test_a_busy_laboratory_is_asked_again(shell: Shell, monkeypatch: Any) -> None:
    """Whoever holds the place for rehearsals leaves it while the client waits."""
    REHEARSALS.acquire()
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            REHEARSALS.release()

    monkeypatch.setattr("sdl.server.client.pause", pause)
    text = FILMS.format(name="busy", trials=1, level=1)
    with sdl.Client(shell.address, shell.tokens["sato"], verify=str(shell.certificate)) as lab:
        assert lab.rehearse(text).trials == 1
    assert waited == [5.0, 5.0]
    with (
        REHEARSALS,
        sdl.Client(shell.address, shell.tokens["sato"], verify=str(shell.certificate), patience=8.0) as lab,
        pytest.raises(sdl.SdlError, match="being rehearsed"),
    ):
        lab.rehearse(text)
    assert waited == [5.0, 5.0, 5.0]  # its patience was for one more
