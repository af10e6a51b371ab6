// One campaign: how far it is, what it found, what it believes, and every trial with the reason for it.

import { download, get, post, put } from "./api.js";
import { ask, h, section, swap, table } from "./dom.js";
import { attempt, load } from "./main.js";
import { progressBar, rehearsalOf, state } from "./campaigns.js";
import { actTable, approvalCard, withReason } from "./house.js";
import { slicePlot } from "./plots.js";
import { follower, named, resultsView } from "./results.js";
import { said as inWords } from "./sentences.js";
import { duration, goal, moment, number, quantities, t } from "./words.js";

const PAGE = 50; // trials in the table at a time
const BELIEFS = 5000; // milliseconds between two questions for what the model believes

export function campaignView(id, trial = null) {
  const path = `/campaigns/${encodeURIComponent(id)}`;
  return trial === null ? overview(id, path) : trialView(id, path, trial);
}

// --- one campaign -------------------------------------------------------------------------------------------------

function overview(id, path) {
  const [top, waiting, plots, beliefs, rows] = [h("div", {}), h("div", {}), h("div", {}), h("div", {}), h("div", {})];
  const cache = new Map(); // rows of the table that have not changed
  const shown = { results: null, first: null, modelled: "", modelledAt: -Infinity };
  const trials = follower(path);
  const view = {
    element: h("div", {}, top, waiting, plots, beliefs, section(t("table"), rows)),
    concerns: (event) => event.campaign === id,
    close() { shown.results?.close(); },
    async load() {
      const campaign = await get(path);
      swap(top, headOf(campaign, path));
      if (!campaign.started_at) return; // it has no trials, and what it is about stands in its file
      if (!shown.results) {
        shown.results = resultsView(await get(`${path}/problem`));
        swap(plots, shown.results.element);
      }
      const [isNew, { approvals }] = await Promise.all([
        trials.read(), campaign.n_approvals ? get(`${path}/approvals`) : { approvals: [] }]);
      swap(waiting, approvals.filter((one) => one.state === "open").map(approvalCard), waitsOf(campaign));
      await drawTable();
      if (isNew) shown.results.update(trials.columns);
      believe(campaign);
    },
  };
  async function drawTable() {
    const last = trials.columns?.trial.length ?? 0;
    const first = shown.first ?? Math.max(0, last - PAGE);
    const found = await get(`${path}/trials?after=${first}&limit=${PAGE}`);
    const go = (to) => { shown.first = to; drawTable(); };
    const drawn = () => trialTable(id, shown.first === null ? [...found.trials].reverse() : found.trials, cache); // it takes rows out of the table before
    swap(rows, drawn, h("p", { class: "buttons" },
      h("button", { type: "button", disabled: first <= 0, data: { key: "older" }, onclick: () => go(Math.max(0, first - PAGE)) }, t("older")),
      h("button", { type: "button", disabled: first + PAGE >= last, data: { key: "newer" }, onclick: () => go(first + PAGE) }, t("newer")),
      h("button", { type: "button", disabled: shown.first === null, data: { key: "newest" }, onclick: () => go(null) }, t("newest")),
      h("button", { type: "button", data: { key: "csv" }, onclick: () => attempt(() => download(`${path}/table.csv`, "trials.csv")) }, t("download")),
      h("span", { class: "quiet" }, last ? `${first + 1} – ${Math.min(last, first + PAGE)} ${t("of")} ${last}` : "")));
  }
  /** Ask what the model believes, when it may have learned something, and not more often than every few seconds. */
  async function believe(campaign) {
    const version = `${campaign.counts.completed} ${trials.columns.version}`;
    if (version === shown.modelled || performance.now() - shown.modelledAt < BELIEFS) return;
    [shown.modelled, shown.modelledAt] = [version, performance.now()];
    const { slices, note } = await get(`${path}/slices`).catch((refusal) => {
      shown.modelled = ""; // somebody else asks a planner just now
      return { slices: [], note: refusal.message };
    });
    if (!shown.modelled || version !== `${campaign.counts.completed} ${trials.columns.version}`) setTimeout(() => load(), BELIEFS);
    swap(beliefs, section(t("model"), slices.length ? h("p", { class: "quiet" }, t("model_band")) : h("p", { class: "quiet" }, inWords(note) || t("no_model")),
      h("div", { class: "grid" }, slices.map((one) => slicePlot(`${one.outcome}, ${one.parameter}`, {
        ...one, names: [named(one.parameter, one.parameter_unit), named(one.outcome, one.unit)] })))));
  }
  return view;
}

function waitsOf(campaign) {
  const waits = Object.entries(campaign.waiting ?? {});
  if (!waits.length) return null;
  return h("details", { open: waits.length < 6 }, h("summary", {}, `${t("waits")}: ${waits.length}`),
    waits.slice(0, 30).map(([trial, why]) => h("p", { class: "quiet" }, `${t("trial")} ${trial}: ${inWords(why)}`)));
}

function headOf(campaign, path) {
  const order = (word) => async () => {
    const said = await ask({ title: `${t(`do_${word}`)}: ${campaign.name}`, text: t(`says_${word}`), confirm: t(`do_${word}`), cancel: t("cancel"), isGrave: word === "abort" || word === "cancel",
      fields: [{ name: "because", label: t("because"), isRequired: ["stop", "abort", "cancel"].includes(word) }] });
    if (said) await attempt(() => post(`${path}/orders`, { order: word, ...said }));
  };
  const buttons = ["start", "pause", "resume", "stop", "abort", "cancel"].filter((word) => campaign.may.includes(word)).map((word) =>
    h("button", { type: "button", class: word === "abort" ? "grave" : "", data: { key: word, role: word }, onclick: order(word) }, t(`do_${word}`)));
  const facts = [
    [t("state"), [state(campaign.state), campaign.reason && ` ${inWords(campaign.reason)}`]],
    [t("trials"), [progressBar(campaign), campaign.counts.failed ? ` · ${campaign.counts.failed} ${t("st_failed")}` : "", campaign.counts.unknown ? ` · ${campaign.counts.unknown} ${t("st_unknown")}` : ""]],
    [t("goal"), campaign.objectives.map(goal).join("; ")],
    [t("best"), campaign.best.length ? campaign.best.slice(0, 5).map((one) => h("div", {}, h("a", { href: `#/c/${encodeURIComponent(campaign.id)}/t/${one.trial}`, data: { key: `best ${one.trial}` } }, `${t("trial")} ${one.trial}`),
      `: ${quantities(one.outcomes)} · ${quantities(one.values)}`)).concat(campaign.best.length > 5 ? h("div", { class: "quiet" }, `${t("on_front")}: ${campaign.best.length}`) : []) : "–"],
    [t("lab_time"), `${duration(campaign.lab_seconds)}${campaign.seconds_left ? ` · ${duration(campaign.seconds_left)} ${t("remaining")}` : ""}`],
    [t("cost"), number(campaign.cost)],
    [t("planner"), campaign.planner],
    [t("autonomy"), [`${campaign.autonomy.level}: ${t(`level_${campaign.autonomy.level}`)}`, campaign.may.includes("autonomy") && h("button", { type: "button", data: { key: "autonomy" }, class: "small", onclick: () => setAutonomy(campaign, path) }, t("change"))]],
    [t("visibility"), [`${t(campaign.visibility.scope)} ${campaign.visibility.groups.join(", ")} ${campaign.visibility.embargo ?? ""}`, campaign.may.includes("visibility") && h("button", { type: "button", data: { key: "visibility" }, class: "small", onclick: () => setVisibility(campaign, path) }, t("change"))]],
    [t("owner"), [campaign.owner, campaign.agents && h("span", { class: "badge" }, t("agent"))]],
  ];
  return [h("h1", {}, campaign.name), h("p", { class: "buttons" }, buttons),
    h("dl", {}, facts.map(([term, what]) => [h("dt", {}, term), h("dd", {}, what)])),
    campaign.rehearsal && h("details", {}, h("summary", {}, t("rehearsal")), rehearsalOf(campaign.rehearsal))];
}

async function setAutonomy(campaign, path) {
  const { envelope, budget } = campaign.autonomy;
  const said = await ask({ title: `${t("autonomy")}: ${campaign.name}`, confirm: t("confirm"), cancel: t("cancel"), fields: [
    { name: "level", label: t("level"), value: String(campaign.autonomy.level), choices: [0, 1, 2, 3, 4].map((level) => [String(level), `${level}: ${t(`level_${level}`)}`]) },
    { name: "trials", label: `${t("trials")} (${t("level")} 3)`, kind: "number", value: budget.trials ?? "" },
    { name: "because", label: t("because"), isRequired: true }] });
  if (said) await attempt(() => put(`${path}/autonomy`, {
    level: Number(said.level), envelope, budget: { ...budget, trials: said.trials ? Number(said.trials) : null }, because: said.because }));
}

async function setVisibility(campaign, path) {
  const said = await ask({ title: `${t("visibility")}: ${campaign.name}`, confirm: t("confirm"), cancel: t("cancel"), fields: [
    { name: "scope", label: t("visibility"), value: campaign.visibility.scope, choices: ["private", "group", "open"].map((one) => [one, t(one)]) },
    { name: "groups", label: t("groups"), value: campaign.visibility.groups.join(", ") },
    { name: "embargo", label: t("embargo"), kind: "date", value: campaign.visibility.embargo ?? "" }] });
  if (!said) return;
  const groups = said.scope === "group" ? said.groups.split(",").map((one) => one.trim()).filter(Boolean) : [];
  await attempt(() => put(`${path}/visibility`, { scope: said.scope, groups, embargo: said.scope === "open" ? said.embargo || null : null }));
}

// --- trials -------------------------------------------------------------------------------------------------------

function trialTable(id, trials, cache) {
  const rows = trials.map((one) => {
    const text = JSON.stringify(one);
    const known = cache.get(one.trial);
    if (known?.text === text) return known.row;
    const row = trialRow(id, one);
    cache.set(one.trial, { text, row });
    return row;
  });
  for (const trial of cache.keys()) if (cache.size > 2 * PAGE) cache.delete(trial);
  return table(t("table"), [t("trial"), t("state"), t("values"), t("outcome"), t("verdict"), t("began"), t("ended")], rows);
}

function trialRow(id, one) {
  return h("tr", { class: `${one.state}${one.is_best ? " best" : ""}` },
    h("th", { scope: "row" }, h("a", { href: `#/c/${encodeURIComponent(id)}/t/${one.trial}`, data: { key: `trial ${one.trial}` } }, String(one.trial))),
    h("td", {}, state(one.state), one.approval === "asked" && h("span", { class: "badge" }, t("approvals"))),
    h("td", {}, quantities(one.values)),
    h("td", {}, one.failure ? h("span", { class: "bad" }, failureOf(one.failure)) : quantities(one.outcomes) || inWords(one.reason)),
    h("td", {}, one.verdict && one.verdict !== "valid" ? t(`v_${one.verdict}`) : ""),
    h("td", {}, moment(one.started_at)), h("td", {}, moment(one.ended_at)));
}

const failureOf = (failure) => `${t(`f_${failure.category}`)}: ${inWords(failure.reason)}`;

function trialView(id, path, number_) {
  const content = h("div", {});
  return {
    element: content,
    concerns: (event) => event.campaign === id && (event.trial === null || event.trial === number_),
    async load() {
      const [campaign, one] = [await get(path), await get(`${path}/trials/${number_}`)];
      swap(content,
        h("p", {}, h("a", { href: `#/c/${encodeURIComponent(id)}`, data: { key: "up" } }, campaign.name)),
        h("h1", {}, `${t("trial")} ${one.trial} `, state(one.state)),
        h("dl", {}, [[t("values"), quantities(one.values)], [t("outcome"), one.failure ? failureOf(one.failure) : quantities(one.outcomes) || inWords(one.reason) || inWords(one.waiting) || "–"],
          [t("verdict"), `${t(`v_${one.verdict ?? "none"}`)} ${(one.verdict_findings ?? []).map((finding) => inWords(finding.text)).join("; ")}`],
          [t("began"), moment(one.started_at)], [t("ended"), moment(one.ended_at)], [t("cost"), number(one.cost)]].map(([term, what]) => [h("dt", {}, term), h("dd", {}, what)])),
        section(t("decision"), one.why.map((sentence) => h("p", {}, inWords(sentence))), decisionOf(id, one.decision)),
        one.steps.length > 0 && section(t("steps"), table(t("steps"), [t("step"), t("station"), t("began"), t("ended"), t("state")], one.steps.map((step) => h("tr", {},
          h("th", { scope: "row" }, step.step), h("td", {}, step.station), h("td", {}, moment(step.begin)), h("td", {}, moment(step.end)),
          h("td", {}, step.is_success === null ? "" : t(step.is_success ? "st_completed" : "st_failed")))))),
        one.acts.length > 0 && section(t("acts"), actTable(one.acts)),
        section(t("comments"), one.comments.map((said) => h("p", {}, h("strong", {}, said.by), ` ${moment(said.time)}: ${said.text}`)),
          h("p", { class: "buttons" }, campaign.may.includes("comment") && h("button", { type: "button", data: { key: "comment" }, onclick: () => comment(path, number_) }, t("comment")),
          campaign.may.includes("verdict") && h("span", { class: "quiet" }, `${t("judge")}:`),
          campaign.may.includes("verdict") && ["valid", "suspect", "invalid"].map((quality) => h("button", { type: "button", data: { key: quality },
            onclick: () => withReason(`${t("verdict")}: ${t(`v_${quality}`)}`, "", (body) => post(`${path}/trials/${number_}/verdict`, { quality, ...body })) }, t(`v_${quality}`))))));
    },
  };
}

async function comment(path, trial) {
  const said = await ask({ title: t("comment"), confirm: t("say"), cancel: t("cancel"), fields: [{ name: "text", label: t("comment"), kind: "text", isRequired: true }] });
  if (said) await attempt(() => post(`${path}/comments`, { ...said, trial }));
}

function predictions(predicted) {
  return Object.entries(predicted ?? {}).map(([name, one]) => `${name} ${number(one.mean)} ± ${number(one.standard_deviation)}`).join(", ");
}

const plain = (values) => Object.entries(values ?? {}).map(([name, value]) => `${name} ${typeof value === "number" ? number(value) : value}`).join(", ");

function decisionOf(id, decision) {
  if (!decision) return null;
  const others = decision.runners_up ?? [];
  const speaking = decision.influences ?? [];
  return [
    Object.keys(decision.predicted ?? {}).length > 0 && h("p", {}, `${t("expected")}: ${predictions(decision.predicted)}`),
    others.length > 0 && table(t("runners_up"), [t("runners_up"), t("expected"), t("acquisition")], others.map((one) => h("tr", {},
      h("td", {}, plain(one.values)), h("td", {}, predictions(one.predicted)), h("td", {}, number(one.acquisition))))),
    speaking.length > 0 && h("p", {}, `${t("influences")}: `, speaking.map((one, index) => [index > 0 && ", ",
      one.trial > 0 ? h("a", { href: `#/c/${encodeURIComponent(id)}/t/${one.trial}` }, String(one.trial)) : one.origin ?? String(one.trial)])),
    h("p", { class: "quiet" }, `${decision.planner} ${decision.version ?? ""}`),
  ];
}
