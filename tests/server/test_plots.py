"""The plots of the page, drawn by a real browser: they are there, and show what they are told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asking import Asking
from browsing import CHROMIUM, FLAGS, PATIENCE, needs_chromium
from listening import listening
from playwright.sync_api import Page, expect, sync_playwright

pytestmark = needs_chromium

SHOW = """async (isWorse) => {
  const { resultsView } = await import('/page/results.js');
  const outcome = (name, goal) => ({ outcome: name, unit: 'g', goal });
  const x = { name: 'x', unit: '', kind: 'continuous' };
  const base = { name: 'base', unit: '', kind: 'categorical', choices: ['a', 'b'] };
  const objectives = [outcome('cost', 'minimize'), outcome('yield', 'maximize')];
  const view = resultsView({ objectives, parameters: [x, base] });
  const cost = [1, 2, 3, isWorse ? 9 : 2], gain = [1, 2, 3, 1];
  document.querySelector('main').replaceChildren(view.element);
  view.update({ trial: [1, 2, 3, 4], state: cost.map(() => 'completed'), ended_at: [1, 2, 3, 4], best: [1, 1, 1, 1],
    front: [1, 2, 3], outcomes: { cost, yield: gain },
    parameters: { x: [0.1, 0.2, 0.3, 0.4], base: ['a', 'b', 'a', 'b'] } });
}"""
"""Three trials on a front, and one that is worse than they."""

INK = """(canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 0) sum = (sum * 31 + data[i] + 7 * data[i + 1] + 13 * data[i + 2] + i) % 4294967291;
  }
  return sum;
}"""
"""A number for what is drawn; 0 where nothing is."""


@pytest.fixture(scope="module")
def page(asking: Asking) -> Iterator[Page]:
    with sync_playwright() as playwright, listening(asking) as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        shown = browser.new_page(viewport={"width": 1000, "height": 900}, locale="en-GB")
        shown.set_default_timeout(PATIENCE)
        shown.goto(f"{address}/#token={asking.tokens['ada']}")
        expect(shown.locator("header .link.live")).to_be_visible()
        yield shown
        browser.close()


def test_the_best_so_far_the_front_and_all_parameters_are_drawn(page: Page) -> None:
    seen: list[list[int]] = []
    for is_worse in (False, True):
        page.evaluate(SHOW, is_worse)
        for heading in ("Progress", "Front", "Parameters and outcomes of all trials"):
            expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        plots = page.locator("main canvas")
        expect(plots).to_have_count(3)
        expect(plots.nth(1)).to_have_attribute("aria-label", "Front: 3")
        page.wait_for_function("[...document.querySelectorAll('main canvas')].every((each) => each.width > 300)")
        page.wait_for_timeout(300)  # they are drawn when they have their size
        seen.append([int(plots.nth(number).evaluate(INK)) for number in range(3)])
    assert all(ink > 0 for ink in seen[0])
    assert all(before != after for before, after in zip(*seen, strict=True))  # the fourth trial is elsewhere in each


def test_what_the_model_believes_is_drawn_for_every_parameter(asking: Asking, page: Page) -> None:
    file = "name: believed\nplanner: bayesian\nbudget: {trials: 6}\nautonomy: 4\n"
    campaign = asking("ada", "POST", "/campaigns", json={"file": file}).json()["id"]
    asking.until("ada", campaign, lambda found: bool(found["state"] == "finished"))
    page.goto(f"{page.url.partition('#')[0]}#/c/{campaign}")
    expect(page.get_by_role("heading", name="What the model believes")).to_be_visible(timeout=PATIENCE)
    for parameter in ("oxygen", "temperature", "power"):
        plot = page.locator(f"main canvas[aria-label='resistance, {parameter}']")
        expect(plot).to_be_visible(timeout=PATIENCE)
        page.wait_for_timeout(100)
        assert plot.evaluate(INK) > 0
