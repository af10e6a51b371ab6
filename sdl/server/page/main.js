// The page: where one is, what is live, and who asks. Each view loads what it shows, and is asked anew after events.

import { Refusal, dropToken, events, get, keepToken, patiently, post, takeToken } from "./api.js";
import { ask, h, swap, tell } from "./dom.js";
import { campaignView } from "./campaign.js";
import { campaignsView, submitView } from "./campaigns.js";
import { inboxView, labView, stockView } from "./house.js";
import { said as inWords } from "./sentences.js";
import { current, switchLanguage, t } from "./words.js";

const REST = 400; // milliseconds between two loads of a view, at least
const COUNTED = 60000; // milliseconds for which the number in the inbox is believed, unless an event says otherwise
const PERIOD = 10000; // milliseconds after which a view that shows the time is loaded again
const head = document.getElementById("head");
const main = document.getElementById("main");

const ROUTES = [
  [/^#\/campaigns$/, () => campaignsView()],
  [/^#\/new$/, () => submitView()],
  [/^#\/c\/([^/]+)$/, (id) => campaignView(id)],
  [/^#\/c\/([^/]+)\/t\/(\d+)$/, (id, trial) => campaignView(id, Number(trial))],
  [/^#\/lab$/, () => labView()],
  [/^#\/inbox$/, () => inboxView()],
  [/^#\/stock$/, () => stockView()],
];

const page = { me: null, view: null, link: "connecting", nWaiting: 0, last: null, isInboxStale: true, countedAt: 0 };

/** Events that change what waits for a person. */
const ASKS = /^(approval|campaign|material|safety|session|task)\.|^trial\.(abandoned|failed|resolved|unknown)$|^act\.resolved$/;

/** Do *action*, tell how it went, and load the view again. Returns whether it was done. */
export async function attempt(action, said = t("done")) {
  try {
    await patiently(action, (seconds) => tell(`${t("busy")} ${Math.round(seconds)} ${t("seconds")}`));
    tell(said);
    return true;
  } catch (error) {
    if (error instanceof Refusal) refused(error);
    else if (isOfLine(error)) tell(t("no_line"), true);
    else throw error;
    return false;
  } finally {
    load();
  }
}

/** Whether *error* says that there was no line, or that it broke; browsers have their own words for it. */
const isOfLine = (error) => error instanceof TypeError && /fetch|network|load failed/i.test(error.message);

function refused(error) {
  if (error.status === 401) { signIn(inWords(error.message)); return; }
  const places = error.errors.map((one) => `${one.where}: ${inWords(one.message)}`).join("; ");
  tell([t("not_done"), places || inWords(error.message), inWords(error.hint)].filter(Boolean).join(" · "), true);
}

// --- head ---------------------------------------------------------------------------------------------------------

function drawHead() {
  const places = [["#/campaigns", "campaigns"], ["#/lab", "laboratory"], ["#/inbox", "inbox"], ["#/stock", "stock"]];
  if (may("submit")) places.push(["#/new", "submit"]);
  swap(head,
    h("div", { class: "lab" },
      h("strong", {}, page.me.lab),
      h("span", { class: `link ${page.link}`, role: "status" }, t(page.link))),
    h("nav", { "aria-label": page.me.lab }, places.map(([address, word]) =>
      h("a", { href: address, "aria-current": location.hash.startsWith(address) && "page", data: { key: address } },
        t(word), word === "inbox" && page.nWaiting > 0 && h("span", { class: "badge" }, String(page.nWaiting))))),
    h("div", { class: "tools" },
      h("span", { class: "quiet" }, page.me.name),
      h("button", { type: "button", lang: current() === "en" ? "ja" : "en", onclick: changeLanguage, data: { key: "language" } }, t("language")),
      h("button", { type: "button", onclick: signOut, data: { key: "out" } }, t("sign_out")),
      may("operate") && h("button", { type: "button", class: "grave", onclick: stopEverything, data: { key: "stop" } }, t("stop_everything"))));
  document.title = `${page.nWaiting > 0 ? `(${page.nWaiting}) ` : ""}${page.me.lab}`;
}

/** Whether one of this person's roles allows what *role* names. */
export function may(role) {
  return page.me.roles.includes(role) || page.me.roles.includes("admin");
}

function changeLanguage() {
  switchLanguage();
  document.documentElement.lang = current();
  document.getElementById("skip").textContent = t("skip");
  drawHead();
  open();
}

function signOut() {
  dropToken();
  location.reload();
}

async function stopEverything() {
  const answer = await ask({
    title: t("stop_everything"), text: t("stop_everything_text"), confirm: t("stop_everything"), cancel: t("cancel"), isGrave: true,
    fields: [{ name: "because", label: t("because"), isRequired: true }],
  });
  if (answer) await attempt(() => post("/stop", answer));
}

// --- views --------------------------------------------------------------------------------------------------------

function open() {
  const address = location.hash || "#/campaigns";
  page.view?.close?.();
  page.view = null;
  for (const [pattern, make] of ROUTES) {
    const found = pattern.exec(address);
    if (found) page.view = make(...found.slice(1).map(decodeURIComponent));
  }
  if (!page.view) { location.hash = "#/campaigns"; return; }
  swap(main, page.view.element);
  drawHead();
  load();
}

let isLoading = false, isStale = false;

/** Load what the view shows; at most one load at a time, and a rest after it. */
export async function load() {
  isStale = true;
  if (isLoading) return;
  isLoading = true;
  while (isStale && page.view) {
    isStale = false;
    const began = performance.now();
    const view = page.view;
    try {
      await view.load();
      if (page.isInboxStale || Date.now() - page.countedAt > COUNTED) await countWaiting();
    } catch (error) {
      if (error instanceof Refusal) refused(error);
      else if (!isOfLine(error)) { isLoading = false; throw error; }
    }
    // A view that takes long to load rests longer: the page, and the server, have other things to do.
    await new Promise((resolve) => setTimeout(resolve, Math.max(REST, 2 * (performance.now() - began))));
  }
  isLoading = false;
}

async function countWaiting() {
  [page.isInboxStale, page.countedAt] = [false, Date.now()];
  const inbox = await get("/inbox");
  const n = inbox.approvals.length + inbox.unknown.length + inbox.latches.length + inbox.tasks.length;
  if (n !== page.nWaiting) { page.nWaiting = n; drawHead(); }
}

// --- live events --------------------------------------------------------------------------------------------------

function setLink(link) {
  if (link !== page.link) { page.link = link; drawHead(); }
}

async function listen() {
  let wait = 500;
  for (;;) {
    try {
      for await (const event of events(page.last)) {
        wait = 500;
        setLink("live");
        page.last = event.data.sequence;
        if (event.kind === "hello" || ASKS.test(event.kind)) page.isInboxStale = true;
        if (page.isInboxStale || event.kind === "hello" || page.view?.concerns?.(event.data) !== false) load();
      }
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) { signIn(inWords(error.message)); return; }
    }
    setLink("lost");
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(2 * wait, 8000);
  }
}

// --- who asks -----------------------------------------------------------------------------------------------------

function signIn(why = "") {
  page.view = null;
  const field = h("input", { type: "password", autocomplete: "off", id: "token" });
  const go = () => { if (field.value.trim()) { keepToken(field.value); location.reload(); } };
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
  swap(head, h("div", { class: "lab" }, h("strong", {}, "sdl")));
  swap(main, h("section", { class: "narrow" },
    h("h1", {}, t("sign_in")),
    why && h("p", { class: "bad" }, why),
    h("label", { for: "token" }, t("token")), field,
    h("p", { class: "quiet" }, t("token_hint")),
    h("button", { type: "button", class: "main", onclick: go }, t("sign_in"))));
  field.focus();
}

async function begin() {
  document.documentElement.lang = current();
  document.getElementById("skip").textContent = t("skip");
  if (!takeToken()) { signIn(); return; }
  try {
    page.me = await get("/me");
  } catch (error) {
    if (error instanceof Refusal) { signIn(error.status === 401 ? inWords(error.message) : ""); return; }
    tell(t("lost"), true);
    setTimeout(begin, 2000);
    return;
  }
  window.addEventListener("hashchange", open);
  setInterval(() => { if (page.view?.isTimed && !document.hidden) load(); }, PERIOD);
  open();
  listen();
}

begin();
