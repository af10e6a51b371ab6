"""Handing in, queueing, approving, ordering, seeing: what people do with campaigns, and what the journal says of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from asking import PEOPLE, Asking, served

from sdl.campaign.recorder import session_started
from sdl.journal.acts import ActIntended
from sdl.journal.orders import CampaignOrdered
from sdl.journal.records import Entry, StepStarted, TrialProposed, TrialStarted
from sdl.server.dossiers import Dossier
from sdl.server.identities import Role
from sdl.server.routing import inventory


def finished(found: dict[str, Any]) -> bool:
    return bool(found["state"] == "finished")


def test_submit_approve_watch_and_read_the_results(asking: Asking) -> None:
    campaign = asking.submit("sato", "approved", trials=2, level=2)
    assert campaign["rehearsal"]["counts"] == {"completed": 2}
    assert campaign["rehearsal"]["end"] > campaign["rehearsal"]["begin"]
    there = f"/campaigns/{campaign['id']}"
    for n in range(2):
        asking.until("sato", campaign["id"], lambda found: found["n_approvals"] == 1)
        (asked,) = asking.get("lee", there + "/approvals")["approvals"][:1]
        assert asked["trials"][0]["why"]
        assert asked["may_answer"]
        assert asking("sato", "POST", f"{there}/approvals/{n + 1}", json={"answer": "approved"}).status_code == 403
        answer = asking("lee", "POST", f"{there}/approvals/{n + 1}", json={"answer": "approved"})
        assert answer.json()["state"] == "approved"
    found = asking.until("sato", campaign["id"], finished)
    assert found["counts"]["completed"] == 2
    assert found["best"][0]["outcomes"]["resistance"]["unit"] == "ohm"
    trial = asking.get("sato", f"{there}/trials/1")
    assert trial["approval"] == "approved"
    assert [step["is_success"] for step in trial["steps"]] == [True]
    assert len(asking.get("sato", f"{there}/table")["rows"]) == 2
    csv = asking("sato", "GET", f"{there}/table.csv")
    assert "attachment" in csv.headers["content-disposition"]
    assert csv.text.startswith("trial,state,")
    given = asking.events("approval.given")
    assert {event.actor for event in given if event.campaign == "approved"} == {"lee"}


def test_a_refused_trial_is_abandoned_with_the_reason(asking: Asking) -> None:
    campaign = asking.submit("sato", "refused", trials=1, level=1)
    there = f"/campaigns/{campaign['id']}"
    asking.until("sato", campaign["id"], lambda found: found["n_approvals"] == 1)
    assert asking("lee", "POST", f"{there}/approvals/1", json={"answer": "refused"}).status_code == 409
    no = {"answer": "refused", "because": "too hot"}
    assert asking("lee", "POST", f"{there}/approvals/1", json=no).json()["state"] == "refused"
    assert asking("lee", "POST", f"{there}/approvals/1", json=no).status_code == 409
    asking.until("sato", campaign["id"], lambda found: found["n_approvals"] == 1)
    assert asking.get("sato", f"{there}/trials/1")["reason"] == "refused by lee: too hot"
    asking("sato", "POST", f"{there}/orders", json={"order": "stop"})
    asking.until("sato", campaign["id"], lambda found: found["state"] == "stopped")


def test_how_much_may_be_done_without_asking_is_widened_by_those_who_may(asking: Asking) -> None:
    free = "name: greedy\nplanner: sobol\nbudget: {trials: 1}\nautonomy: 4\n"
    refused = asking("sato", "POST", "/campaigns", json={"file": free})
    assert refused.status_code == 403
    assert "autonomy" in refused.json()["hint"]
    unbounded = {"file": free.replace("4", "3")}
    assert "envelope" in asking("ada", "POST", "/campaigns", json=unbounded).json()["detail"]
    silent = {"file": "name: silent\nplanner: sobol\nbudget: {trials: 1}\n", "start": False}
    assert asking("ada", "POST", "/campaigns", json=silent).json()["autonomy"]["level"] == 2
    campaign = asking.submit("sato", "widened", trials=2, level=1)
    there = f"/campaigns/{campaign['id']}"
    asking.until("sato", campaign["id"], lambda found: found["n_approvals"] == 1)
    wider = {"level": 4, "because": "seen ten of them"}
    assert asking("sato", "PUT", f"{there}/autonomy", json=wider).status_code == 403
    assert asking("lee", "PUT", f"{there}/autonomy", json=wider).status_code == 200
    asking.until("sato", campaign["id"], finished)
    (set_by,) = [event.actor for event in asking.events("campaign.autonomy") if event.campaign == "widened"]
    assert set_by == "lee"


def test_an_agent_hands_in_within_its_level_and_is_marked(asking: Asking) -> None:
    wants_more = {"file": "name: a\nbudget: {trials: 1}\nautonomy: 2\n"}
    assert asking("agent", "POST", "/campaigns", json=wants_more).status_code == 403
    campaign = asking.submit("agent", "by-agent", trials=1, level=0)
    assert campaign["agents"]
    asking.until("agent", campaign["id"], lambda found: found["state"] == "paused")
    there = f"/campaigns/{campaign['id']}"
    up = {"level": 1, "because": "please"}
    assert asking("agent", "PUT", f"{there}/autonomy", json=up).status_code == 403


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("planner: os:system\n", "planner"),
        ("planner: {type: bayesian, options: {prior_mean: {resistance: 'os:system'}}}\n", "planner.prior_mean"),
        ("experiment: os:system\n", "experiment"),
        ("checks: ['os:system']\n", "checks"),
        ("seed_data: [/etc/passwd]\n", "seed_data"),
        ("lab: {type: thin-film, options: {seed: 3}}\n", "lab"),
        ("lab: beamline\n", "lab"),
        ("store: /tmp/x.sdl\n", "store"),
        ("quality: {controls: [{every: 0}]}\n", "quality"),
        ("name: !!python/object/apply:os.system [id]\n", ""),
    ],
)
def test_a_file_says_nothing_that_the_laboratorys_own_people_say(asking: Asking, more: str, said: str) -> None:
    file = f"name: bad\nbudget: {{trials: 1}}\n{more}"
    answer = asking("sato", "POST", "/campaigns", json={"file": file})
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


def test_who_may_not_operate_does_not_agree_in_advance_that_acts_are_repeated(asking: Asking) -> None:
    file = "name: {}\nbudget: {{trials: 1}}\nautonomy: 0\non_unknown: {}\n"
    by_class = "{irreversible: redo, consent: sure}"
    for who, name, said, status in (
        ("sato", "again", "redo", 403),
        ("agent", "again", by_class, 403),
        ("sato", "not-again", "failed", 201),
        ("mia", "again", by_class, 201),
    ):
        answer = asking(who, "POST", "/campaigns", json={"file": file.format(name, said), "start": False})
        assert answer.status_code == status, answer.text


def test_a_name_is_taken_once(asking: Asking) -> None:
    asking.submit("sato", "once", start=False)
    again = asking("mori", "POST", "/campaigns", json={"file": "name: once\nbudget: {trials: 1}\n"})
    assert again.status_code == 409


def test_who_sees_a_campaign(asking: Asking) -> None:
    campaign = asking.submit("sato", "shared", start=False)
    there = f"/campaigns/{campaign['id']}"

    def seen() -> set[str]:
        return {who for who in PEOPLE if asking(who, "GET", there).status_code == 200}

    answering = {"sato", "kim", "lee", "mia", "ada"}
    assert seen() == answering
    for shown, others in (
        ({"scope": "group", "groups": ["films"]}, {"mori"}),
        ({"scope": "open"}, {"mori", "reader"}),
        ({"scope": "open", "groups": ["films"], "embargo": "2999-01-01"}, {"mori"}),
        ({"scope": "open", "embargo": "2001-01-01"}, {"mori", "reader"}),
        ({"scope": "private"}, set[str]()),
    ):
        assert asking("sato", "PUT", f"{there}/visibility", json=shown).status_code == 200
        assert seen() == answering | others, shown
    for wrong in ({"scope": "group"}, {"scope": "private", "embargo": "2999-01-01"}):
        assert asking("sato", "PUT", f"{there}/visibility", json=wrong).status_code == 422


def test_the_embargo_ends_on_its_day(asking: Asking) -> None:
    asking.submit("sato", "embargo", start=False, visibility={"scope": "open", "embargo": "2030-05-01"})
    dossier: Dossier = next(each for each in asking.house.dossiers() if each.name == "embargo")
    reader = asking.house.users.read().named("reader")
    assert not dossier.is_seen_by(reader, dt.date(2030, 4, 30))
    assert dossier.is_seen_by(reader, dt.date(2030, 5, 1))


def test_campaigns_queue_pause_go_on_and_are_cancelled(fresh: Asking) -> None:
    first = fresh.submit("sato", "first", trials=1, level=1)["id"]
    second = fresh.submit("mori", "second", trials=1, level=1)["id"]
    third = fresh.submit("mia", "third", trials=1, level=1, priority=1)["id"]
    fresh.until("sato", first, lambda found: found["n_approvals"] == 1)
    assert fresh.get("mori", f"/campaigns/{second}")["position"] == 2
    assert fresh.get("mia", f"/campaigns/{third}")["position"] == 1
    order = f"/campaigns/{first}/orders"
    assert fresh("mori", "POST", order, json={"order": "pause"}).status_code == 404
    assert fresh("kim", "POST", order, json={"order": "pause", "because": "urgent"}).status_code == 200
    paused = fresh.until("sato", first, lambda found: found["state"] == "paused")
    assert paused["reason"] == "paused by kim: urgent"
    assert paused["may"][:2] == ["stop", "cancel"]  # who has paused it lets it go on
    assert fresh("sato", "POST", order, json={"order": "pause"}).status_code == 409
    fresh.until("kim", third, lambda found: found["state"] == "running")
    assert fresh("kim", "POST", order, json={"order": "resume"}).json()["state"] == "queued"
    assert fresh("mori", "POST", f"/campaigns/{second}/orders", json={"order": "cancel"}).json()["state"] == "cancelled"
    assert fresh("kim", "POST", "/stop", json={"because": "smoke"}).status_code == 200
    stopped = fresh.until("kim", third, lambda found: found["state"] == "aborted")
    assert stopped["reason"] == "aborted by kim: smoke"
    held = fresh.until("sato", first, lambda found: found["state"] == "paused")  # nothing begins by itself
    assert (held["reason"], "resume" in held["may"]) == ("paused by kim: smoke", False)
    refused = fresh("sato", "POST", order, json={"order": "resume"})
    assert (refused.status_code, refused.json()["hint"]) == (403, "somebody with the role operate can")
    assert fresh("kim", "POST", order, json={"order": "resume"}).status_code == 200
    fresh.until("sato", first, lambda found: found["state"] == "running")
    ordered = [
        (event.campaign, event.actor, event.body.order)
        for event in fresh.events("campaign.ordered")
        if isinstance(event.body, CampaignOrdered)
    ]
    assert ("first", "kim", "pause") in ordered
    assert ("third", "kim", "abort") in ordered


def test_what_was_said_of_a_campaign_that_waits_holds_when_it_begins(fresh: Asking) -> None:
    waiting = fresh.submit("sato", "waiting", trials=1, level=1, start=False)["id"]
    there, free = f"/campaigns/{waiting}", {"level": 4, "because": "known"}
    assert fresh("lee", "PUT", f"{there}/autonomy", json=free).status_code == 200
    fresh("sato", "POST", f"{there}/orders", json={"order": "start"})
    fresh.until("sato", waiting, finished)
    late = Entry(CampaignOrdered(order="abort"), "waiting", actor="kim")  # given as it ended
    fresh.journal.append(late)
    assert fresh.get("sato", there)["state"] == "finished"


def test_locks_are_taken_in_one_order_and_a_cancelled_campaign_does_not_begin(fresh: Asking, monkeypatch: Any) -> None:
    house: Any = fresh.house
    hold, owned = house.journal.hold, list[bool]()

    def watched() -> Any:
        owned.append(house._mutex._is_owned())
        return hold()

    monkeypatch.setattr(house.journal, "hold", watched)
    gone = fresh.submit("sato", "gone", level=1, start=False)["id"]
    assert owned == [True]
    fresh.journal.append(Entry(CampaignOrdered(order="start"), "gone", actor="sato"))
    stale = house.queue()
    monkeypatch.setattr(house, "queue", lambda: stale)
    fresh.journal.append(Entry(CampaignOrdered(order="cancel"), "gone", actor="sato"))
    house.host.call(house._fill)
    assert fresh.get("sato", f"/campaigns/{gone}")["state"] == "cancelled"


def test_a_campaign_whose_server_was_killed_while_it_paused_is_paused(tmp_path: Path) -> None:
    with served(tmp_path / "server", PEOPLE) as asking:
        campaign = asking.submit("sato", "killed", start=False)["id"]
        for body in (
            CampaignOrdered(order="start"),
            session_started(1, is_virtual=True),
            CampaignOrdered(order="pause"),
        ):
            asking.journal.append(Entry(body, "killed", actor="sato"))
    with served(tmp_path / "server", {}) as again:
        (dossier,) = again.house.dossiers()
        assert (dossier.id, dossier.state(again.house.running)) == (campaign, "paused")


def test_what_became_of_an_act_is_answered_and_signed(asking: Asking) -> None:
    campaign = asking.submit("sato", "cut-off", trials=1, level=2)
    there = f"/campaigns/{campaign['id']}"
    asking.until("sato", campaign["id"], lambda found: found["n_approvals"] == 1)
    asking("lee", "POST", f"{there}/approvals/1", json={"answer": "approved"})
    asking.until("sato", campaign["id"], finished)
    proposed = next(event.body for event in asking.journal.read(campaign="cut-off", kinds=("trial.proposed",)))
    assert isinstance(proposed, TrialProposed)
    act = ActIntended(
        act="2.1.make.1",
        step="make",
        station="thin-film",
        attempt=1,
        device="sputter",
        verb="trigger",
        action_class="irreversible",
    )
    begun = (proposed, TrialStarted(attempt=1), StepStarted(step="make", station="thin-film", attempt=1), act)
    asking.journal.append(*(Entry(body, "cut-off", 2) for body in begun))
    (unknown,) = [each for each in asking.get("kim", "/inbox")["unknown"] if each["campaign_name"] == "cut-off"]
    assert unknown["acts"][0]["evidence"] == "no end is recorded"
    said = {"answer": "happened", "then": "failed", "because": "the film is there"}
    assert asking("lee", "POST", f"{there}/trials/2/answer", json=said).status_code == 403
    assert asking("kim", "POST", f"{there}/trials/9/answer", json=said).status_code == 404
    assert asking("kim", "POST", f"{there}/trials/2/answer", json=said).status_code == 200
    trial = asking.get("sato", f"{there}/trials/2")
    assert trial["state"] == "failed"
    assert (trial["acts"][0]["answer"], trial["acts"][0]["answered_by"]) == ("happened", "kim")
    assert not [each for each in asking.get("kim", "/inbox")["unknown"] if each["campaign_name"] == "cut-off"]


def test_results_are_judged_and_commented_in_ones_own_name(asking: Asking) -> None:
    campaign = asking.submit("ada", "judged", trials=1, level=4)
    there = f"/campaigns/{campaign['id']}"
    asking.until("ada", campaign["id"], finished)
    doubt = {"quality": "suspect", "because": "the probe slipped"}
    before = asking.get("kim", f"{there}/progress")
    assert asking("kim", "POST", f"{there}/trials/1/verdict", json=doubt).status_code == 403
    assert asking("lee", "POST", f"{there}/trials/1/verdict", json=doubt).status_code == 200
    assert asking("kim", "POST", f"{there}/comments", json={"text": "<b>seen</b>", "trial": 1}).status_code == 200
    trial = asking.get("ada", f"{there}/trials/1")
    assert trial["verdict"] == "suspect"
    after = asking.get("kim", f"{there}/progress")
    assert before["version"] != after["version"]  # who follows reads it all again
    assert (before["front"], after["front"], before["best"] != after["best"]) == ([1], [], True)
    assert trial["comments"][0]["by"] == "kim"
    assert trial["comments"][0]["text"] == "<b>seen</b>"


def test_the_laboratory_goes_on_when_it_is_opened_again(tmp_path: Path) -> None:
    with served(tmp_path / "server", PEOPLE) as asking:
        campaign = asking.submit("sato", "long", trials=2, level=1)
        asking.until("sato", campaign["id"], lambda found: found["n_approvals"] == 1)
        asking.house.stop()
        asking.until("sato", campaign["id"], lambda found: found["state"] == "queued")
    with served(tmp_path / "server", {}) as again:
        dossier = again.house.dossiers()[0]
        assert (dossier.id, dossier.wants) == (campaign["id"], True)


def test_the_models_slices_are_told_or_why_there_are_none(asking: Asking) -> None:
    sobol = asking.submit("ada", "no-model", trials=1, level=4)
    asking.until("ada", sobol["id"], finished)
    none = asking.get("ada", f"/campaigns/{sobol['id']}/slices")
    assert none["slices"] == []
    assert "no model" in none["note"]
    file = "name: model\nplanner: bayesian\nbudget: {trials: 6}\nautonomy: 4\n"
    campaign = asking("ada", "POST", "/campaigns", json={"file": file}).json()["id"]
    asking.until("ada", campaign, finished)
    found = asking.get("ada", f"/campaigns/{campaign}/slices")["slices"]
    assert {each["parameter"] for each in found} == {"oxygen", "temperature", "power"}
    for each in found:
        assert len(each["x"]) == len(each["mean"]) > 10
        assert all(low <= mean <= high for low, mean, high in zip(each["low"], each["mean"], each["high"], strict=True))


def test_nothing_is_read_or_exported_of_a_campaign_before_its_embargo_ends(asking: Asking, monkeypatch: Any) -> None:
    """Neither by a route, nor in a list, nor in metrics, nor in live events; on the day all of it is there."""
    shown = {"scope": "open", "embargo": "2030-05-01"}
    there = asking.submit("ada", "not-yet", trials=1, level=4, visibility=shown)["id"]
    asking.until("ada", there, finished)
    paths = [
        path.removeprefix("/api/v1").replace("{campaign}", there).replace("{trial}", "1")
        for method, path, roles in inventory(asking.app)
        if method == "GET" and Role.READ in roles and path != "/api/v1/events"
    ]
    assert len([path for path in paths if there in path]) > 8
    newsroom: Any = asking.app.state.newsroom
    events = [*asking.journal.read(campaign="not-yet")]
    reader = asking.house.users.read().named("reader")
    sees = (reader.name, reader.token, None)
    for path in paths:
        answer = asking("reader", "GET", path)
        assert answer.status_code == (404 if there in path else 200), (path, answer.text)
        assert "not-yet" not in answer.text.replace(there, ""), path
    assert b"not-yet" not in newsroom._written(events, {sees})[sees]
    monkeypatch.setattr("sdl.server.house.today", lambda: dt.date(2030, 5, 1))
    for path in paths:
        assert asking("reader", "GET", path).status_code == 200, path
    assert "not-yet" in asking("reader", "GET", "/metrics").text
    assert b"not-yet" in newsroom._written(events, {sees})[sees]
