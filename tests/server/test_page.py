"""The page in a real browser, against a real server: what people do, and what nobody can do to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from asking import PEOPLE, Asking, served
from browsing import CHROMIUM, FLAGS, PATIENCE, needs_chromium
from by_hand import FILE, bench_in
from listening import listening
from playwright.sync_api import Browser, Page, expect, sync_playwright

from sdl.journal.acts import ActIntended
from sdl.journal.materials import SampleMade
from sdl.journal.records import (
    Entry,
    Failure,
    FailureCategory,
    StepStarted,
    TrialFailed,
    TrialProposed,
    TrialStarted,
)
from sdl.lab import Person
from sdl.server.house import REHEARSALS

pytestmark = needs_chromium

PAYLOADS = [
    "<img src=x onerror=window.hacked=1>",
    "<script>window.hacked=1</script>",
    '"><svg onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "{{constructor.constructor('window.hacked=1')()}}",
    "</textarea><iframe srcdoc='<script>parent.hacked=1</script>'>",
]

TAGS = (
    "a",
    "audio",
    "body",
    "button",
    "details",
    "div",
    "embed",
    "form",
    "iframe",
    "img",
    "input",
    "math",
    "object",
    "svg",
)
HANDLERS = ("onerror", "onload", "onclick", "onfocus autofocus")
PAYLOADS.append("".join(f"<{tag} src=x {each}=hacked=1>" for tag in TAGS for each in HANDLERS))

NAME = "<img src=x onerror=window.hacked=1> films"
"""A campaign may be called so."""

SENTENCES = json.loads((Path(__file__).parent / "sentences.json").read_text("utf-8"))
"""What the engine says, and what the page makes of it in Japanese."""

CLOCKED = """async (text) => {
  const { said } = await import('/page/sentences.js');
  const began = performance.now();
  said(text);
  return performance.now() - began;
}"""

ATTRIBUTES = "[...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames())"


@dataclass
class Bench:
    """A browser, and people who sign in to one laboratory, each with a window of their own."""

    browser: Browser
    asking: Asking
    address: str

    def sign_in(self, who: str, *, width: int = 1200, language: str = "en-GB") -> Page:
        """Open the page by the link that carries the token."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, locale=language)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(f"{self.address}/#token={self.asking.tokens[who]}")
        expect(page.locator("header .link.live")).to_be_visible(timeout=PATIENCE)
        return page

    def confirm(self, page: Page, because: str = "") -> None:
        """Say yes in the dialog."""
        if because:
            page.locator("dialog textarea, dialog input").first.fill(because)
        page.locator("dialog [data-role=confirm]").click()


@pytest.fixture(scope="module")
def bench(asking: Asking) -> Iterator[Bench]:
    with sync_playwright() as playwright, listening(asking) as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Bench(browser, asking, address)
        browser.close()


@pytest.fixture(scope="module")
def kim(bench: Bench) -> Page:
    """A window of whoever operates the laboratory."""
    return bench.sign_in("kim")


def test_a_campaign_is_submitted_by_one_approved_by_another_and_watched(bench: Bench) -> None:
    """Nobody loads a page again: what one does the other sees."""
    sato, lee = bench.sign_in("sato"), bench.sign_in("lee")
    sato.get_by_role("link", name="New campaign").click()
    sato.get_by_label("Campaign file").fill(
        "name: by hand\nplanner: sobol\nbudget: {trials: 1}\nautonomy: {level: 2}\n"
    )
    with REHEARSALS:  # whoever meets a busy laboratory is told, and waits
        sato.get_by_role("button", name="Rehearse").click()
        expect(sato.locator("#told")).to_contain_text("busy", timeout=PATIENCE)
    expect(sato.get_by_text("would end")).to_be_visible(timeout=PATIENCE)
    sato.locator("[data-role=submit]").click()
    expect(sato.get_by_role("heading", name="by hand", exact=True)).to_be_visible(timeout=PATIENCE)
    assert sato.get_by_role("button", name="Approve").count() == 0
    lee.get_by_role("link", name="Inbox").click()
    card = lee.locator("article", has_text="by hand")
    expect(card).to_contain_text("Sobol proposed it", timeout=PATIENCE)
    card.get_by_role("button", name="Approve").focus()  # who has no mouse
    lee.keyboard.press("Enter")
    lee.keyboard.press("Escape")
    expect(lee.locator("dialog")).to_have_count(0, timeout=PATIENCE)
    lee.keyboard.press("Enter")  # one is where one was before
    for key in (*"looked at it", "Tab", "Tab", "Enter"):
        lee.keyboard.press(key)
    expect(lee.get_by_text("Nothing waits for a person.")).to_be_visible(timeout=PATIENCE)
    expect(sato.locator("dl .state")).to_have_text("finished", timeout=PATIENCE)
    expect(sato.locator("tbody tr").first).to_contain_text("resistance", timeout=PATIENCE)
    sato.locator("tbody th a").first.click()
    expect(sato.get_by_role("heading", name="Why this trial")).to_be_visible(timeout=PATIENCE)
    expect(sato.locator("main")).to_contain_text("scrambled Sobol sequence")


def test_what_is_pressed_is_clicked_though_the_page_is_drawn_anew_meanwhile(bench: Bench) -> None:
    """By the mouse and by the space bar; and in the table, whose rows go from one drawing to the next."""
    campaign = bench.asking.submit("ada", "pressed", trials=1, level=1)["id"]
    lee = bench.sign_in("lee")
    lee.goto(f"{bench.address}/#/c/{campaign}")
    dialog, approve = lee.locator("dialog"), lee.get_by_role("button", name="Approve")

    def draw_anew() -> None:
        for text in ("one", "another"):  # the table is asked for last: at the second time all was drawn once at least
            with lee.expect_response(lambda response: "/trials?" in response.url, timeout=PATIENCE):
                said = bench.asking("ada", "POST", f"/campaigns/{campaign}/comments", json={"text": text, "trial": 1})
                assert said.status_code == 200

    approve.hover(timeout=PATIENCE)
    lee.mouse.down()
    draw_anew()
    lee.mouse.up()
    expect(dialog).to_have_count(1)
    lee.keyboard.press("Escape")
    approve.focus()
    lee.keyboard.down("Space")
    draw_anew()
    lee.keyboard.up("Space")
    expect(dialog).to_have_count(1)
    draw_anew()
    lee.keyboard.press("Escape")
    expect(approve).to_be_focused()  # one is where one was before, though that is another button now
    lee.locator("tbody th a").hover()
    lee.mouse.down()
    draw_anew()
    lee.mouse.up()
    expect(lee.get_by_role("heading", name="Why this trial")).to_be_visible(timeout=PATIENCE)
    bench.asking("ada", "POST", f"/campaigns/{campaign}/orders", json={"order": "abort", "because": "it was clicked"})
    lee.context.close()


@pytest.mark.parametrize(
    ("button", "answer", "then"),
    [
        ("It happened", "happened", "failed"),
        ("It did not", "did_not_happen", "abandoned"),
        ("Cannot tell: discard", "cannot_tell", "failed"),
    ],
)
def test_what_nobody_knows_is_answered_at_the_page(
    bench: Bench, kim: Page, button: str, answer: str, then: str
) -> None:
    name = f"broken off: {answer}"
    campaign = bench.asking.submit("ada", json.dumps(name), trials=1, level=4)
    bench.asking.until("ada", campaign["id"], lambda found: found["state"] == "finished")
    journal = bench.asking.journal
    proposed = next(event.body for event in journal.read(campaign=name, kinds=("trial.proposed",)))
    assert isinstance(proposed, TrialProposed)
    kim.goto(f"{bench.address}/#/inbox")
    act = ActIntended(
        act="2.1.make.1", step="make", station="thin-film", attempt=1,
        device="sputter", verb="trigger", action_class="irreversible",
    )  # fmt: skip
    begun = (proposed, TrialStarted(attempt=1), StepStarted(step="make", station="thin-film", attempt=1), act)
    journal.append(*(Entry(body, name, 2) for body in begun))
    card = kim.locator("article", has_text=name)
    expect(card).to_contain_text("no end is recorded", timeout=PATIENCE)
    card.get_by_role("button", name=button, exact=True).click()
    kim.locator("dialog select").select_option(then)
    bench.confirm(kim)
    assert kim.locator("dialog").count() == 1  # nothing is answered without a reason
    kim.locator("dialog textarea").fill("I have looked at the film")
    bench.confirm(kim)
    expect(card).to_have_count(0, timeout=PATIENCE)
    trial = bench.asking.get("ada", f"/campaigns/{campaign['id']}/trials/2")
    assert (trial["acts"][0]["answer"], trial["acts"][0]["answered_by"], trial["state"]) == (answer, "kim", then)


def test_a_step_a_campaign_and_everything_are_stopped_at_the_page(bench: Bench, tmp_path: Path) -> None:
    """Each stop ends what it names and no more: the trials here wait for a person."""
    with bench_in(tmp_path) as asking, listening(asking) as address:
        campaign = asking("ada", "POST", "/campaigns", json={"file": FILE}).json()["id"]
        kim = Bench(bench.browser, asking, address).sign_in("kim")
        kim.get_by_role("link", name="Laboratory").click()
        row = kim.locator("tbody tr", has_text="by hand 1")
        row.get_by_role("button", name="Stop this step").click(timeout=PATIENCE)
        bench.confirm(kim, "it fumes")
        expect(kim.locator("tbody tr", has_text="by hand 2").first).to_be_visible(timeout=PATIENCE)  # it goes on
        trial = asking.get("ada", f"/campaigns/{campaign}/trials/1")
        assert (trial["state"], trial["failure"]["category"]) == ("failed", "aborted")
        assert "it fumes" in trial["failure"]["reason"]
        kim.goto(f"{address}/#/c/{campaign}")
        kim.get_by_role("button", name="Stop", exact=True).click()
        bench.confirm(kim, "we have enough")
        expect(kim.locator("dl .state")).to_have_text("pausing", timeout=PATIENCE)
        assert asking.get("ada", f"/campaigns/{campaign}/trials/2")["state"] == "running"
        kim.get_by_role("button", name="Stop everything").click()
        bench.confirm(kim, "smoke")
        expect(kim.locator("dl .state")).to_have_text("aborted", timeout=PATIENCE)
        assert asking.get("ada", f"/campaigns/{campaign}/trials/2")["failure"]["category"] == "aborted"
        assert asking.get("kim", "/inbox")["tasks"] == []
        orders = [(event.actor, event.kind) for event in asking.events("campaign.ordered", "station.stopped")]
        assert orders.count(("kim", "station.stopped")) == 2
        kim.context.close()


def test_what_a_person_has_done_is_said_at_the_page(bench: Bench) -> None:
    answer = bench.asking.house.desk.ask(Person("kim"), "Weigh the powder <b>twice</b>", 120.0)
    kim = bench.sign_in("kim")
    kim.get_by_role("link", name="Inbox").click()
    card = kim.locator("article", has_text="Weigh the powder <b>twice</b>")
    expect(card).to_contain_text("takes about 2 min", timeout=PATIENCE)
    card.get_by_role("button", name="Done", exact=True).click()
    bench.confirm(kim, "it was moist")
    expect(card).to_have_count(0, timeout=PATIENCE)
    assert answer.result(0) == "it was moist"
    assert bench.asking.events("task.answered")[-1].actor == "kim"


def test_everything_is_stopped_from_every_view_by_those_who_may(bench: Bench) -> None:
    campaign = bench.asking.submit("ada", "endless", trials=5000, level=4)
    kim, reader = bench.sign_in("kim", width=390), bench.sign_in("reader")
    assert reader.get_by_role("button", name="Stop everything").count() == 0
    assert reader.get_by_role("link", name="New campaign").count() == 0
    assert reader.get_by_text("endless").count() == 0
    assert kim.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    kim.get_by_role("button", name="Stop everything").click()
    bench.confirm(kim, "smoke")
    expect(kim.locator("#told")).to_contain_text("Done", timeout=PATIENCE)
    found = bench.asking.until("ada", campaign["id"], lambda found: found["state"] in {"aborted", "stopped", "paused"})
    assert "smoke" in str(found["reason"])


def test_no_text_becomes_a_part_of_the_page(bench: Bench) -> None:
    campaign = bench.asking.submit("ada", json.dumps(NAME), trials=1, level=4)
    bench.asking.until("ada", campaign["id"], lambda found: found["state"] == "finished")
    for text in PAYLOADS:
        said = bench.asking("kim", "POST", f"/campaigns/{campaign['id']}/comments", json={"text": text, "trial": 1})
        assert said.status_code == 200
    journal = bench.asking.journal
    proposed = next(event.body for event in journal.read(campaign=NAME, kinds=("trial.proposed",)))
    assert isinstance(proposed, TrialProposed)
    asked = [bench.asking.house.desk.ask(Person(text), text, 1.0) for text in PAYLOADS]
    for number, text in enumerate(PAYLOADS, 2):
        decision = proposed.decision.replace(note=text, planner=text)
        failure = Failure(category=FailureCategory.DEVICE, reason=text, step=text)
        bodies = (proposed.replace(decision=decision), TrialStarted(attempt=1), TrialFailed(failure=failure))
        journal.append(*(Entry(body, NAME, number) for body in (*bodies, SampleMade(sample=f"{NAME}/{text}"))))
    act = ActIntended(
        act=PAYLOADS[0], step=PAYLOADS[1], station=PAYLOADS[2], attempt=1,
        device=PAYLOADS[2], verb=PAYLOADS[0], action_class="irreversible", arguments={"args": [PAYLOADS[0]]},
    )  # fmt: skip
    journal.append(*(Entry(body, NAME, 2 + len(PAYLOADS)) for body in (proposed, TrialStarted(attempt=1), act)))
    page = bench.sign_in("kim")
    there = f"c/{campaign['id']}"
    shown = {
        there: PAYLOADS,
        f"{there}/t/1": PAYLOADS,
        f"{there}/t/2": PAYLOADS[:1],
        "stock": PAYLOADS,
        "inbox": PAYLOADS,
    }
    for place, texts in shown.items():
        page.goto(f"{bench.address}/#/{place}")
        for text in texts:
            expect(page.get_by_text(text, exact=False).first).to_be_attached(timeout=PATIENCE)
        assert page.evaluate("window.hacked") is None
        assert page.locator("main :is(img, script, iframe, svg, object, style)").count() == 0
        assert not [name for name in page.evaluate(ATTRIBUTES) if name.startswith("on")]
    for answer in asked:
        bench.asking.house.desk.withdraw(answer)


def test_it_speaks_japanese_and_is_used_by_keyboard(bench: Bench) -> None:
    page = bench.sign_in("kim", language="ja-JP")
    expect(page.get_by_role("heading", name="キャンペーン")).to_be_visible(timeout=PATIENCE)
    for english, japanese in SENTENCES.items():
        assert page.evaluate("async (text) => (await import('/page/sentences.js')).said(text)", english) == japanese
    endless = "step answered by a person: " * 60  # by its forms it may be read in more ways than there is time for
    assert page.evaluate(CLOCKED, endless) < 4000  # milliseconds: 65 where nothing else runs
    assert page.evaluate("document.documentElement.lang") == "ja"
    assert bench.asking.tokens["kim"] not in page.url
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("button", name="English").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Campaigns")).to_be_visible(timeout=PATIENCE)


def test_a_browser_comes_back_to_a_server_that_was_started_again(bench: Bench, tmp_path: Path) -> None:
    with served(tmp_path / "server", PEOPLE) as asking:
        with listening(asking) as address:
            page = Bench(bench.browser, asking, address).sign_in("ada")
        expect(page.locator("header .link.lost")).to_be_visible(timeout=PATIENCE)
        campaign = asking.submit("ada", "meanwhile", trials=1, level=4)
        asking.until("ada", campaign["id"], lambda found: found["state"] == "finished")
        with listening(asking, int(address.rpartition(":")[2])):
            expect(page.locator("header .link.live")).to_be_visible(timeout=PATIENCE)
            expect(page.get_by_role("link", name="meanwhile")).to_be_visible(timeout=PATIENCE)
            page.context.close()
