// The laboratory: its stations, what waits for a person, and its stock.

import { get, post } from "./api.js";
import { ask, h, section, swap, table } from "./dom.js";
import { attempt, may } from "./main.js";
import { state } from "./campaigns.js";
import { said as inWords } from "./sentences.js";
import { seriesColour, timelinePlot } from "./plots.js";
import { duration, moment, number, quantities, sampleState, t } from "./words.js";

const SPAN = 12 * 3600; // seconds of the timeline before now, and after it, at most

const because = { name: "because", kind: "text", isRequired: true };

/** Ask why, and do it. */
export async function withReason(title, text, action, { isGrave = false, isRequired = true } = {}) {
  const fields = [{ ...because, isRequired, label: t("because") }];
  const answer = await ask({ title, text, isGrave, confirm: t("confirm"), cancel: t("cancel"), fields });
  if (answer) await attempt(() => action(answer));
}

const linkTo = (campaign, name, trial) => campaign
  ? h("a", { href: `#/c/${encodeURIComponent(campaign)}${trial ? `/t/${trial}` : ""}` }, trial ? `${name} ${trial}` : name) : name || "–";

// --- stations -----------------------------------------------------------------------------------------------------

export function labView() {
  const [top, stations, line, waits, alarms] = [h("div", {}), h("div", {}), h("div", {}), h("div", {}), h("div", {})];
  const hovered = h("output", { class: "quiet hovered" });
  const element = h("div", {}, h("h1", {}, t("laboratory")), top, stations,
    section(t("timeline"), line, hovered), section(t("waits"), waits), section(t("alarms"), alarms));
  return {
    element,
    isTimed: true,
    async load() {
      const lab = await get("/lab");
      const since = new Date(Date.parse(lab.now) - SPAN * 1000).toISOString();
      const [timeline, found] = await Promise.all([get(`/timeline?since=${encodeURIComponent(since)}`), get("/alarms")]);
      swap(top, lab.engine === "failed" && h("p", { class: "bad" }, `${t("engine_failed")}: ${inWords(lab.reason)}`),
        lab.engine === "ending" && h("p", { class: "bad" }, t("engine_ending")),
        h("p", { class: "quiet" }, [lab.kind.split(".").pop(), lab.is_simulated && t("simulated"), moment(lab.now)].filter(Boolean).join(" · ")));
      swap(stations, stationTable(lab.stations));
      swap(line, timelineOf(timeline, lab.stations.map((one) => one.name), (text) => { hovered.textContent = text; }));
      swap(waits, waitTable(timeline.waiting));
      swap(alarms, alarmsOf(found));
    },
  };
}

function stationTable(stations) {
  const rows = stations.map((one) => h("tr", {},
    h("th", { scope: "row" }, one.name, h("div", { class: "quiet" }, one.devices.join(", "))),
    h("td", {}, state(one.state), one.latch && h("div", { class: "bad" }, `${one.latch.interlock ?? ""} ${inWords(one.latch.reason)}`)),
    h("td", {}, one.doing ? [linkTo(one.doing.campaign, one.doing.campaign_name, one.doing.trials[0]), ` ${one.doing.step}`] : t("nothing")),
    h("td", {}, one.doing ? moment(one.doing.since) : ""),
    h("td", {}, may("operate") && one.doing && h("button", { type: "button", class: "grave", data: { key: `abort ${one.name}` },
      onclick: () => withReason(`${t("abort_step")}: ${one.name}`, t("abort_step_text"), (body) => post(`/stations/${encodeURIComponent(one.name)}/abort`, body), { isGrave: true }) }, t("abort_step")))));
  return table(t("laboratory"), [t("station"), t("state"), t("doing"), t("since"), ""], rows);
}

function waitTable(waiting) {
  if (!waiting.length) return h("p", { class: "quiet" }, t("no_waits"));
  return table(t("waits"), [t("trial"), t("step"), t("why"), t("begins")], waiting.map((one) => h("tr", {},
    h("th", { scope: "row" }, linkTo(one.campaign, one.campaign_name, one.trial)), h("td", {}, one.step || "–"), h("td", {}, inWords(one.why)),
    h("td", {}, one.expected ? `≈ ${moment(one.expected)}` : "–"))));
}

function timelineOf(timeline, stations, onhover) {
  const at = (text) => Date.parse(text) / 1000;
  const now = at(timeline.now);
  const names = [...new Set(timeline.bars.map((bar) => bar.campaign_name))].sort();
  const shade = (bar) => (bar.campaign_name ? seriesColour(names.indexOf(bar.campaign_name)) : seriesColour(null));
  const said = (bar, end) => [bar.station, `${bar.campaign_name || t("another")} ${bar.trials.join(", ")}`, bar.step, t(bar.kind),
    `${moment(bar.begin)} – ${end ? `${bar.kind === "past" ? "" : "≈ "}${moment(end)}` : ""}`].filter(Boolean).join(" · ");
  const bars = timeline.bars.flatMap((bar) => {
    const drawn = { station: bar.station, kind: bar.kind, isBad: !bar.is_success, colour: shade(bar), begin: at(bar.begin), label: bar.trials.join(", ") };
    if (bar.kind !== "now") return [{ ...drawn, end: at(bar.end), text: said(bar, bar.end) }];
    const text = said(bar, bar.expected_end);
    const rest = bar.expected_end && at(bar.expected_end) > now ? [{ ...drawn, kind: "planned", begin: now, end: at(bar.expected_end), label: "", text }] : [];
    return [{ ...drawn, end: now, text }, ...rest];
  });
  const shown = [...new Set([...stations, ...bars.map((bar) => bar.station)])];
  let [begin, end] = [now - 60, now + 60];
  for (const bar of bars) { begin = Math.min(begin, bar.begin); end = Math.max(end, bar.end); }
  [begin, end] = [Math.max(begin, now - SPAN), Math.min(end, now + SPAN)];
  const pad = 0.015 * (end - begin);
  return [h("p", { class: "legend" }, names.filter(Boolean).map((name) => h("span", { class: `s${names.indexOf(name) % 6}` }, name)),
    h("span", { class: "plan" }, t("planned")), h("span", { class: "three" }, t("failed"))),
  timelinePlot(`${t("timeline")}: ${shown.join(", ")}`, { stations: shown, bars, now, begin: begin - pad, end: end + pad, onhover })];
}

function alarmsOf(found) {
  const rows = found.trips.map((trip) => h("tr", {}, h("td", {}, moment(trip.time)), h("th", { scope: "row" }, trip.interlock), h("td", {}, inWords(trip.reason))));
  return [latchesOf(found.latches), rows.length ? table(t("alarms"), [t("since"), t("name"), t("because")], rows) : h("p", { class: "quiet" }, t("no_alarms"))];
}

function latchesOf(latches) {
  return latches.map((one) => h("article", { class: "card" },
    h("h3", {}, `${one.station}: ${one.interlock}`), h("p", {}, inWords(one.reason)), h("p", { class: "quiet" }, `${t("since")} ${moment(one.since)}`),
    one.may_rearm && h("button", { type: "button", data: { key: `rearm ${one.station}` },
      onclick: () => withReason(`${t("rearm")}: ${one.station}`, inWords(one.reason), (body) => post(`/stations/${encodeURIComponent(one.station)}/rearm`, body)) }, t("rearm"))));
}

// --- what waits for a person ------------------------------------------------------------------------------------

export function inboxView() {
  const list = h("div", {});
  return {
    element: h("div", {}, h("h1", {}, t("inbox")), list),
    async load() {
      const inbox = await get("/inbox");
      const groups = [
        [t("unknown_acts"), inbox.unknown.map(unknownCard)], [t("approvals"), inbox.approvals.map(approvalCard)], [t("tasks"), inbox.tasks.map(taskCard)],
        [t("latches"), latchesOf(inbox.latches)], [t("shortages"), inbox.shortages.map(shortageCard)],
      ].filter(([, cards]) => cards.length > 0);
      swap(list, groups.length ? groups.map(([title, cards]) => section(title, cards)) : h("p", { class: "quiet" }, t("nothing_waits")));
    },
  };
}

/** One request for approval: what, why, what it costs, what is expected. */
export function approvalCard(one) {
  const answer = (word, title) => withReason(`${title}: ${one.campaign_name}`, inWords(one.because),
    (body) => post(`/campaigns/${encodeURIComponent(one.campaign)}/approvals/${one.trials[0].trial}`, { answer: word, ...body }), { isRequired: word === "refused" });
  return h("article", { class: "card" },
    h("h3", {}, linkTo(one.campaign, one.campaign_name), ` · ${one.trials.map((trial) => `${t("trial")} ${trial.trial}`).join(", ")}`),
    h("p", { class: "quiet" }, `${t("level_asks")} ${one.level}: ${inWords(one.because)} · ${t("cost")} ${number(one.cost)} · ${t("asked")} ${moment(one.asked_at)}`),
    one.trials.map((trial) => h("div", {},
      h("p", {}, h("strong", {}, `${t("trial")} ${trial.trial}: `), quantities(trial.values)),
      h("p", {}, Object.entries(trial.predicted ?? {}).map(([name, p]) => `${t("predicted")}: ${name} ${number(p.mean)} ± ${number(p.standard_deviation)} ${p.unit ?? ""}`).join("; ")),
      trial.why.map((sentence) => h("p", { class: "quiet" }, inWords(sentence))))),
    one.state !== "open" ? h("p", {}, `${t(`ap_${one.state}`)} · ${one.answered_by} · ${moment(one.answered_at)} · ${one.answer_because}`)
      : one.may_answer && h("p", { class: "buttons" },
        h("button", { type: "button", class: "main", data: { key: `approve ${one.request}` }, onclick: () => answer("approved", t("approve")) }, t("approve")),
        h("button", { type: "button", data: { key: `refuse ${one.request}` }, onclick: () => answer("refused", t("refuse")) }, t("refuse"))));
}

function unknownCard(one) {
  const path = `/campaigns/${encodeURIComponent(one.campaign)}/trials/${one.trial}/answer`;
  const say = async (answer, title) => {
    const said = await ask({
      title: `${title}: ${one.campaign_name} ${one.trial}`, confirm: t("confirm"), cancel: t("cancel"),
      fields: [
        { name: "then", label: t("then"), choices: [["", t("then_policy")], ["redo", t("redo")], ["failed", t("mark_failed")], ["abandoned", t("abandon")]] },
        { ...because, label: t("because") }],
    });
    if (said) await attempt(() => post(path, { answer, then: said.then || null, because: said.because }));
  };
  return h("article", { class: "card" },
    h("h3", {}, linkTo(one.campaign, one.campaign_name, one.trial)),
    h("p", {}, quantities(one.values)), h("p", { class: "quiet" }, inWords(one.reason)), actTable(one.acts),
    one.may_answer && h("p", { class: "buttons" },
      [["happened", "happened"], ["did_not_happen", "did_not_happen"], ["cannot_tell", "cannot_tell"]].map(([answer, word]) =>
        h("button", { type: "button", data: { key: `${answer} ${one.campaign} ${one.trial}` }, onclick: () => say(answer, t(word)) }, t(word)))));
}

const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** What a verb was given, as a plan writes it. */
function argumentsOf(given) {
  const { args = [], ...named } = given ?? {};
  return [...(Array.isArray(args) ? args : [args]).map(plain), ...Object.entries(named).map(([name, value]) => `${name} ${plain(value)}`)].join(", ");
}

/** Acts with what is known of how they ended. */
export function actTable(acts) {
  const rows = acts.map((act) => h("tr", { class: act.is_unknown ? "unknown" : "" },
    h("td", {}, act.step), h("th", { scope: "row" }, `${act.device}.${act.verb}`, h("div", { class: "quiet" }, argumentsOf(act.arguments))),
    h("td", {}, t(`a_${act.class}`)), h("td", {}, moment(act.intended_at)), h("td", {}, act.outcome ? t(`o_${act.outcome}`) : t("st_unknown"), act.reason && h("div", { class: "quiet" }, inWords(act.reason))),
    h("td", {}, inWords(act.evidence), act.answer && h("div", {}, `${t(act.answer)} (${act.answered_by})`))));
  return table(t("acts"), [t("step"), t("act"), t("kind"), t("since"), t("state"), t("evidence")], rows);
}

function taskCard(one) {
  const answer = async (word, title) => {
    const said = await ask({ title: `${title}: ${one.text}`, confirm: t("confirm"), cancel: t("cancel"),
      fields: [{ name: "note", kind: "text", label: t(word === "failed" ? "because" : "note"), isRequired: word === "failed" }] });
    if (said) await attempt(() => post(`/tasks/${encodeURIComponent(one.task)}`, { answer: word, note: said.note.trim() }));
  };
  return h("article", { class: "card" },
    h("h3", {}, `${one.person}: ${one.text}`),
    h("p", { class: "quiet" }, one.campaign_name && [linkTo(one.campaign, one.campaign_name, one.trials[0]), ` ${one.step} · `],
      `${t("since")} ${moment(one.since)} · ${t("takes_about")} ${duration(one.expected_seconds)}`),
    one.may_answer && h("p", { class: "buttons" },
      h("button", { type: "button", class: "main", data: { key: `done ${one.task}` }, onclick: () => answer("done", t("task_done")) }, t("task_done")),
      h("button", { type: "button", data: { key: `failed ${one.task}` }, onclick: () => answer("failed", t("task_failed")) }, t("task_failed"))));
}

function shortageCard(one) {
  return h("article", { class: "card" }, h("h3", {}, linkTo(one.campaign, one.campaign_name, one.trial), ` · ${one.step}`), h("ul", {}, one.missing.map((what) => h("li", {}, inWords(what)))));
}

// --- stock --------------------------------------------------------------------------------------------------------

export function stockView() {
  const list = h("div", {});
  return {
    element: h("div", {}, h("h1", {}, t("stock")), list),
    async load() {
      const stock = await get("/stock");
      swap(list,
        !stock.materials.length && !stock.racks.length && h("p", { class: "quiet" }, t("no_stock")),
        stock.materials.length > 0 && table(t("stock"), [t("material"), t("left"), t("reserved"), t("consumed"), t("unexplained"), t("lots"), ""], stock.materials.map(materialRow)),
        stock.waiting.length > 0 && section(t("shortages"), stock.waiting.map(shortageCard)),
        stock.racks.length > 0 && section(t("racks"), stock.racks.map((rack) => h("p", {}, h("strong", {}, rack.rack), ` ${t("free")} ${rack.free.length} ${t("of")} ${rack.positions.length}: ${rack.free.join(" ")}`))),
        stock.samples.length > 0 && section(t("samples"), table(t("samples"), [t("sample"), t("state"), t("where"), t("because")],
          stock.samples.map((one) => h("tr", {}, h("th", { scope: "row" }, one.sample), h("td", {}, sampleState(one.state)), h("td", {}, one.positions.join(", ")), h("td", {}, inWords(one.because)))))));
    },
  };
}

function materialRow(one) {
  const count = async () => {
    const said = await ask({ title: `${t("count")}: ${one.material}`, confirm: t("confirm"), cancel: t("cancel"),
      fields: [
        one.lots.length > 1 && { name: "lot", label: t("lots"), choices: one.lots.map((lot) => [lot.lot, `${lot.lot} ${lot.left}`]) },
        { name: "amount", label: one.unit ? `${t("counted")} (${one.unit})` : t("counted"), value: one.lots.length > 1 ? "" : one.left, isRequired: true },
        { ...because, label: t("because") }].filter(Boolean) });
    if (said) await attempt(() => post("/stock", { action: "count", material: one.material, ...said }));
  };
  return h("tr", {}, h("th", { scope: "row" }, one.material), h("td", {}, one.left), h("td", {}, one.reserved || "–"), h("td", {}, one.consumed || "–"), h("td", {}, one.unexplained || "–"),
    h("td", {}, one.lots.map((lot) => h("div", { class: lot.is_expired ? "bad" : "" }, `${lot.lot} ${lot.left}${lot.expires ? ` · ${t(lot.is_expired ? "expired" : "expires")} ${lot.expires}` : ""}`))),
    h("td", {}, may("operate") && h("button", { type: "button", data: { key: `count ${one.material}` }, onclick: count }, t("count"))));
}

