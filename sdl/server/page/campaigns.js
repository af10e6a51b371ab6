// All campaigns, and a new one.

import { get, post } from "./api.js";
import { h, section, swap, table } from "./dom.js";
import { attempt } from "./main.js";
import { said as inWords } from "./sentences.js";
import { duration, goal, moment, quantities, t } from "./words.js";

/** The state of something as a word with a colour. */
export function state(name) {
  return h("span", { class: `state ${name}` }, t(`st_${name}`));
}

/** How far a campaign is, as a bar with words. */
export function progressBar(campaign) {
  const most = campaign.budget.trials;
  const words = `${campaign.n_counted}${most ? ` ${t("of")} ${most}` : ""}`;
  const bar = most && h("progress", { max: String(most), value: String(Math.min(campaign.n_counted, most)), "aria-label": t("progress") });
  return h("span", { class: "progress" }, bar, words);
}

export function campaignsView() {
  const list = h("div", {});
  const element = h("div", {}, h("h1", {}, t("campaigns")), list);
  return {
    element,
    async load() {
      const { campaigns } = await get("/campaigns");
      const rows = campaigns.map((one) => h("tr", {},
        h("th", { scope: "row" }, h("a", { href: `#/c/${encodeURIComponent(one.id)}`, data: { key: one.id } }, one.name)),
        h("td", {}, state(one.state), one.n_approvals > 0 && h("span", { class: "badge" }, `${t("approvals")} ${one.n_approvals}`),
          one.n_unknown > 0 && h("span", { class: "badge" }, `${t("st_unknown")} ${one.n_unknown}`)),
        h("td", {}, progressBar(one)),
        h("td", {}, one.objectives.map(goal).join("; ")),
        h("td", {}, one.best.length ? quantities(one.best[0].outcomes) : "–"),
        h("td", {}, one.owner, one.agents && h("span", { class: "badge" }, t("agent"))),
        h("td", {}, moment(one.last_event_at ?? one.submitted_at))));
      const heads = ["name", "state", "trials", "goal", "best", "owner", "updated"].map(t);
      swap(list, rows.length ? table(t("campaigns"), heads, rows) : h("p", { class: "quiet" }, t("no_campaigns")));
    },
  };
}

/** What a rehearsal found. */
export function rehearsalOf(rehearsal) {
  const uses = (rehearsal.uses ?? []).map((use) => h("li", { class: use.is_enough ? "" : "bad" },
    `${use.material}: ${use.amount} (${use.left} ${t("left")}) – ${t(use.is_enough ? "enough" : "too_little")}`));
  return h("div", {},
    h("p", {}, [rehearsal.trials && `${rehearsal.trials} ${t("trials")}`, `${t("begins")} ${moment(rehearsal.begin)}`,
      `${t("would_end")} ${moment(rehearsal.end)} (${duration(rehearsal.seconds)})`, Number.isFinite(rehearsal.cost) && `${t("cost")} ${rehearsal.cost}`].filter(Boolean).join(" · ")),
    rehearsal.bottleneck && h("p", {}, `${t("bottleneck")}: ${rehearsal.bottleneck}`),
    h("p", {}, Object.entries(rehearsal.utilisation ?? {}).map(([name, part]) => `${name} ${Math.round(100 * part)} %`).join(" · ")),
    uses.length > 0 && h("ul", {}, uses),
    (rehearsal.warnings ?? []).map((warning) => h("p", { class: "bad" }, inWords(warning))),
    h("p", { class: "quiet" }, inWords(rehearsal.how)));
}

const EXAMPLE = `name: films
planner: bayesian
budget: {trials: 20}
autonomy: {level: 2}
`;

export function submitView() {
  const file = h("textarea", { rows: "18", spellcheck: "false", id: "file" }, EXAMPLE);
  const scope = h("select", { id: "scope" }, ["private", "group", "open"].map((one) => h("option", { value: one }, t(one))));
  const groups = h("input", { id: "groups", autocomplete: "off" });
  const found = h("div", { "aria-live": "polite" });
  const submission = () => ({
    file: file.value,
    visibility: { scope: scope.value, groups: groups.value.split(",").map((one) => one.trim()).filter(Boolean) },
  });
  const rehearse = () => attempt(async () => {
    swap(found, section(t("rehearsal"), rehearsalOf(await post("/rehearsals", { file: file.value }))));
  });
  const submit = () => attempt(async () => {
    const made = await post("/campaigns", submission());
    location.hash = `#/c/${encodeURIComponent(made.id)}`;
  });
  const element = h("div", {},
    h("h1", {}, t("submit")),
    h("label", { for: "file" }, t("file")), file, h("p", { class: "quiet" }, t("file_hint")),
    h("p", {}, h("label", { for: "scope" }, t("visibility")), scope, h("label", { for: "groups" }, t("groups")), groups),
    h("p", { class: "buttons" },
      h("button", { type: "button", onclick: rehearse }, t("rehearse")),
      h("button", { type: "button", class: "main", onclick: submit, data: { role: "submit" } }, t("do_submit"))),
    found);
  return { element, async load() { /* what one writes stays as it is */ }, concerns: () => false };
}
