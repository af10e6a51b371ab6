// What a campaign has found so far, as plots that stay where they are and are drawn anew when trials come in.

import { get } from "./api.js";
import { h, section, swap } from "./dom.js";
import { bestPlot, frontPlot, parallelPlot } from "./plots.js";
import { number, t } from "./words.js";

const MOST_LINES = 1000; // trials in the parallel plot: the best, and some of the others
const ENDED = new Set(["completed", "failed", "abandoned"]);
const LONG = 2000; // trials of a long campaign, of which one more changes little
const PARALLEL = 10000; // milliseconds between two drawings of all trials of a long campaign
const SHARE = 20; // the plots rest so many times as long as they took to draw

export const named = (name, unit) => (unit ? `${name} (${unit})` : name);

// --- the columns --------------------------------------------------------------------------------------------------

/** Follows the trials of a campaign as columns: only those that may have changed are asked for again. */
export function follower(path) {
  let columns = null;
  const read = async () => {
    const open = columns === null ? 0 : columns.state.findIndex((one) => !ENDED.has(one));
    const keep = columns === null ? 0 : open < 0 ? columns.trial.length : open;
    const more = await get(`${path}/progress?after=${keep ? columns.trial[keep - 1] : 0}`);
    const isAnew = columns !== null && more.version !== columns.version; // a verdict has changed what was told before
    const mark = columns === null ? "" : markOf(columns);
    if (isAnew && keep > 0) { columns = null; return read(); }
    columns = columns === null ? more : joined(columns, more, keep);
    return isAnew || markOf(columns) !== mark;
  };
  return { read, get columns() { return columns; } };
}

const markOf = (columns) => `${columns.trial.length} ${columns.version} ${columns.front.join()} ${columns.state.slice(-100).join()}`;

function joined(before, after, keep) {
  const found = { ...after };
  for (const [name, column] of Object.entries(after)) {
    if (name === "front") continue;
    if (Array.isArray(column)) found[name] = extended(before[name], column, keep);
    else if (column && typeof column === "object") {
      found[name] = Object.fromEntries(Object.entries(column).map(([key, part]) => [key, extended(before[name]?.[key] ?? [], part, keep)]));
    }
  }
  return found;
}

function extended(column, more, keep) {
  column.length = keep;
  for (const one of more) column.push(one);
  return column;
}

// --- the plots ----------------------------------------------------------------------------------------------------

/** The plots of a campaign. *update* draws them, at once or after a rest. */
export function resultsView(problem) {
  const [first, second] = problem.objectives;
  const frames = { best: null, front: null, parallel: null };
  const shown = { columns: null, byTime: false, waits: null, restUntil: 0, parallelUntil: 0 };
  const toggle = h("button", { type: "button", data: { key: "time" }, onclick: () => { shown.byTime = !shown.byTime; draw(); } });
  const places = { best: h("div", {}), front: h("div", {}), parallel: h("div", {}) };
  const element = h("div", {}, h("p", { class: "quiet" }, t("no_trials")));
  let isEmpty = true;

  function draw() {
    const began = performance.now();
    const { columns } = shown;
    if (!columns.trial.length) return;
    if (isEmpty) { swap(element, sections()); isEmpty = false; }
    toggle.textContent = t(shown.byTime ? "by_trial" : "by_time");
    frames.best = put(places.best, frames.best, bestOf(columns, first, shown.byTime, frames.best));
    if (second) frames.front = put(places.front, frames.front, frontOf(columns, first, second, frames.front));
    const isLong = columns.trial.length > LONG;
    if (!isLong || began > shown.parallelUntil) {
      shown.parallelUntil = began + PARALLEL;
      frames.parallel = put(places.parallel, frames.parallel, parallelOf(columns, problem, frames.parallel));
    }
    shown.restUntil = performance.now() + SHARE * (performance.now() - began) + (isLong ? 1000 : 0);
  }

  const sections = () => [
    section(t("progress"), h("p", { class: "legend" }, h("span", { class: "one" }, t("best_so_far")), h("span", { class: "two" }, t("measured")),
      h("span", { class: "three" }, t("failed")), toggle), places.best),
    second && section(t("front"), h("p", { class: "legend" }, h("span", { class: "one" }, t("on_front")), h("span", { class: "two" }, t("others"))), places.front),
    section(t("parallel"), h("p", { class: "quiet" }, t("parallel_hint")), places.parallel)];

  return {
    element,
    update(columns) {
      shown.columns = columns;
      clearTimeout(shown.waits);
      const rest = shown.restUntil - performance.now();
      if (rest <= 0) draw();
      else shown.waits = setTimeout(draw, rest);
    },
    close() { clearTimeout(shown.waits); },
  };
}

function put(place, before, frame) {
  if (before !== frame) place.replaceChildren(frame);
  return frame;
}

function bestOf(columns, first, byTime, frame) {
  const along = byTime ? columns.ended_at : columns.trial;
  const outcome = columns.outcomes[first.outcome] ?? [];
  const [indices, failures] = [[], []];
  for (let i = 0; i < columns.trial.length; i += 1) {
    if (!Number.isFinite(along[i])) continue;
    if (Number.isFinite(outcome[i])) indices.push(i);
    else if (columns.state[i] === "failed") failures.push(along[i]);
  }
  if (byTime) indices.sort((i, j) => along[i] - along[j]);
  const name = named(first.outcome, first.unit);
  const best = indices.map((i) => columns.best[i]);
  if (byTime) bestInOrder(first, best);
  return bestPlot(`${t("progress")}: ${name}, ${t("best_so_far")} ${number(columns.best.at(-1))}`, {
    xs: indices.map((i) => along[i]), ys: indices.map((i) => outcome[i]), best, failures, timed: byTime, names: [byTime ? t("time") : t("trial"), name] }, frame);
}

/** In the order of time a best may stand before one of a smaller number: the line never goes back. */
function bestInOrder(objective, best) {
  for (let i = 1; i < best.length; i += 1) {
    if (best[i] === null || (best[i - 1] !== null && worth(objective, best[i - 1]) > worth(objective, best[i]))) best[i] = best[i - 1];
  }
}

const sign = (objective) => (objective.goal === "maximize" ? 1 : -1);

/** How good a value is for an objective: greater is better. */
function worth(objective, value) {
  if (objective.goal !== "target") return sign(objective) * value;
  const [low, high] = [objective.low ?? objective.value, objective.high ?? objective.value];
  return -Math.max(0, (low ?? value) - value, value - (high ?? value));
}

function frontOf(columns, first, second, frame) {
  const front = new Set(columns.front);
  return frontPlot(`${t("front")}: ${front.size}`, {
    xs: columns.outcomes[first.outcome], ys: columns.outcomes[second.outcome], isFront: columns.trial.map((one) => front.has(one)),
    names: [named(first.outcome, first.unit), named(second.outcome, second.unit)] }, frame);
}

function parallelOf(columns, problem, frame) {
  const objective = problem.objectives[0];
  const outcome = columns.outcomes[objective.outcome] ?? [];
  const ranked = [];
  for (let i = 0; i < outcome.length; i += 1) if (Number.isFinite(outcome[i])) ranked.push(i);
  const worths = outcome.map((value) => (Number.isFinite(value) ? worth(objective, value) : 0));
  ranked.sort((i, j) => worths[j] - worths[i]);
  const every = Math.max(1, ranked.length / MOST_LINES);
  const few = ranked.filter((_, place) => place < 100 || Math.floor(place / every) !== Math.floor((place - 1) / every));
  const rank = few.map((_, place) => place / Math.max(1, few.length - 1));
  const free = problem.parameters.filter((one) => one.is_free !== false);
  const axes = [
    ...free.map((one) => ({ name: named(one.name, one.unit), choices: one.kind === "categorical" ? one.choices : null, values: few.map((i) => columns.parameters[one.name]?.[i]) })),
    ...problem.objectives.map((one) => ({ name: named(one.outcome, one.unit), choices: null, values: few.map((i) => columns.outcomes[one.outcome]?.[i]) }))];
  return parallelPlot(t("parallel"), { columns: axes, rank }, frame);
}
