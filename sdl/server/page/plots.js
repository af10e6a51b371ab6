// Plots on canvas: ten thousand trials are drawn in a few milliseconds. Each says in words what it shows.

import { h } from "./dom.js";
import { formatOf, number } from "./words.js";

const MARGIN = { left: 72, right: 12, top: 12, bottom: 40 };
const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colour of the *index*-th of several things; null: of what has no name. */
export const seriesColour = (index) => colour(index === null ? "--quiet" : SERIES[index % SERIES.length]);

const toPaint = new Set();

/** Paint one of the plots that wait; the others have the next frames: no frame is long. */
function paintNext() {
  const [frame] = toPaint;
  toPaint.delete(frame);
  frame.paint();
  if (toPaint.size) requestAnimationFrame(paintNext);
}

/**
 * Make a canvas that draws itself anew when its width changes; or give *frame*, made before, another *draw*, which gets
 * the context, width and height.
 */
export function canvas(label, height, draw, frame = null) {
  if (frame) {
    frame.firstChild.setAttribute("aria-label", label);
    frame.draw = draw;
    toPaint.add(frame);
    if (toPaint.size === 1) requestAnimationFrame(paintNext);
    return frame;
  }
  const made = h("canvas", { role: "img", "aria-label": label });
  const fresh = h("div", { class: "plot" }, made);
  fresh.draw = draw;
  fresh.paint = () => {
    const width = fresh.clientWidth;
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    if (made.width !== Math.round(width * scale) || made.height !== Math.round(height * scale)) {
      made.width = Math.round(width * scale);
      made.height = Math.round(height * scale);
      made.style.height = `${height}px`;
    }
    const context = made.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.globalAlpha = 1;
    context.setLineDash([]);
    context.font = "12px system-ui, sans-serif";
    fresh.draw(context, width, height);
  };
  new ResizeObserver(fresh.paint).observe(fresh);
  return fresh;
}

/** An axis: from numbers to pixels, linear or logarithmic. */
function axis(values, { log = false, pad = 0.05 } = {}) {
  const finite = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  let low = Infinity, high = -Infinity;
  for (const value of finite) { if (value < low) low = value; if (value > high) high = value; }
  if (!finite.length) { low = 0; high = 1; log = false; }
  const to = log ? Math.log10 : (value) => value;
  let [a, b] = [to(low), to(high)];
  if (b - a <= 1e-9 * Math.max(Math.abs(a), Math.abs(b))) { a -= Math.abs(a) * 0.1 || 0.5; b += Math.abs(b) * 0.1 || 0.5; }
  const extra = (b - a) * pad;
  return { a: a - extra, b: b + extra, log, part: (value) => (to(value) - (a - extra)) / (b - a + 2 * extra) };
}

/** Whether numbers over decades are better read as logarithms. */
export function isWide(values) {
  let [n, low, high] = [0, Infinity, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value <= 0) return false;
    n += 1;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return n >= 3 && high / low > 50;
}

function ticks({ a, b, log }, most) {
  if (log && b - a > 1) {
    const every = Math.ceil((b - a) / most);
    const found = [];
    for (let power = Math.ceil(a); power <= b; power += every) found.push(10 ** power);
    return found;
  }
  const [low, high] = log ? [10 ** a, 10 ** b] : [a, b];
  const raw = (high - low) / most;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = size * [1, 2, 5, 10].find((factor) => factor * size >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

/** Draw two axes with names, and return the way from numbers to pixels. */
function frameOf(context, width, height, x, y, names, texts = {}) {
  const inner = { w: width - MARGIN.left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
  const px = (value) => MARGIN.left + x.part(value) * inner.w;
  const py = (value) => MARGIN.top + (1 - y.part(value)) * inner.h;
  context.strokeStyle = colour("--line");
  context.fillStyle = colour("--quiet");
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of ticks(y, 5)) {
    context.beginPath();
    context.moveTo(MARGIN.left, py(value));
    context.lineTo(width - MARGIN.right, py(value));
    context.stroke();
    context.fillText(number(value), MARGIN.left - 6, py(value));
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const value of texts.ticks ?? ticks(x, Math.max(2, inner.w / 90))) {
    context.fillText(texts.of ? texts.of(value) : number(value), px(value), height - MARGIN.bottom + 6);
  }
  context.fillText(names[0], MARGIN.left + inner.w / 2, height - 16);
  context.save();
  context.translate(12, MARGIN.top + inner.h / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(names[1], 0, -6);
  context.restore();
  return { px, py, bottom: height - MARGIN.bottom };
}

const MANY = 2000; // points above which each is a small square, and a place is drawn once

function dots(context, points, fill, radius = 3) {
  context.fillStyle = fill;
  if (points.length > MANY) {
    const taken = new Set();
    for (const [x, y] of points) {
      const place = (Math.round(x / 2) << 12) + Math.round(y / 2);
      if (taken.has(place)) continue;
      taken.add(place);
      context.fillRect(x - 1, y - 1, 2.5, 2.5);
    }
    return;
  }
  context.beginPath();
  for (const [x, y] of points) {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.fill();
}

function line(context, points, stroke, isStepped = false) {
  context.strokeStyle = stroke;
  context.lineWidth = 2;
  context.beginPath();
  points.forEach(([x, y], index) => {
    if (index && isStepped) context.lineTo(x, points[index - 1][1]);
    if (index) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  context.stroke();
}

function crosses(context, points, stroke) {
  context.strokeStyle = stroke;
  context.lineWidth = 1.5;
  context.beginPath();
  let last = -Infinity;
  for (const [x, y] of points) {
    if (Math.abs(x - last) < 1) continue;
    last = x;
    context.moveTo(x - 3, y - 3); context.lineTo(x + 3, y + 3);
    context.moveTo(x + 3, y - 3); context.lineTo(x - 3, y + 3);
  }
  context.stroke();
}

/** What was measured and the best so far. *xs*, *ys* and *best* go together; *failures* are places on the x axis. */
export function bestPlot(label, { xs, ys, best, failures, names, timed }, frame) {
  return canvas(label, 280, (context, width, height) => {
    const isLog = isWide(ys);
    const x = axis([...xs, ...failures]);
    const y = axis([...ys, ...best], { log: isLog });
    const texts = timed ? { of: (value) => at(value, false) } : {};
    const { px, py, bottom } = frameOf(context, width, height, x, y, names, texts);
    const seen = (value) => Number.isFinite(value) && (!isLog || value > 0);
    dots(context, xs.map((value, i) => [value, ys[i]]).filter(([, value]) => seen(value)).map(([a, b]) => [px(a), py(b)]), colour("--series-2"));
    crosses(context, failures.map((value) => [px(value), bottom - 6]), colour("--bad"));
    const steps = xs.map((value, i) => [value, best[i]]).filter(([, value], i) => seen(value) && (i === 0 || i === xs.length - 1 || best[i - 1] !== value));
    line(context, steps.map(([a, b]) => [px(a), py(b)]), colour("--series-1"), true);
  }, frame);
}

/** Two outcomes against each other, with the front. */
export function frontPlot(label, { xs, ys, isFront, names }, frame) {
  return canvas(label, 320, (context, width, height) => {
    const [x, y] = [axis(xs, { log: isWide(xs) }), axis(ys, { log: isWide(ys) })];
    const { px, py } = frameOf(context, width, height, x, y, names);
    const points = xs.map((value, i) => [value, ys[i], isFront[i]]).filter(([a, b]) => Number.isFinite(a) && Number.isFinite(b));
    dots(context, points.filter((point) => !point[2]).map(([a, b]) => [px(a), py(b)]), colour("--series-2"));
    const front = points.filter((point) => point[2]).sort((p, q) => p[0] - q[0]).map(([a, b]) => [px(a), py(b)]);
    line(context, front, colour("--series-1"));
    dots(context, front, colour("--series-1"), 4);
  }, frame);
}

/** One line per trial over all *columns* ({name, values, choices}); *rank* from 0 (best) to 1 colours them. */
export function parallelPlot(label, { columns, rank }, frame) {
  return canvas(label, 300, (context, width, height) => {
    const left = 40, right = width - 40, top = 34, bottom = height - 24;
    const scales = columns.map((column) => column.choices ? null : axis(column.values, { log: isWide(column.values), pad: 0 }));
    const at = (index) => columns.length < 2 ? left : left + (index * (right - left)) / (columns.length - 1);
    const up = (index, value) => {
      const { choices } = columns[index];
      const part = choices ? (choices.indexOf(value) + 0.5) / choices.length : scales[index].part(value);
      return bottom - part * (bottom - top);
    };
    const SHADES = 12;
    const dense = Math.max(0.3, Math.min(1, 150 / rank.length));
    for (let shade = SHADES - 1; shade >= 0; shade -= 1) { // the best are drawn last, above the others
      const part = shade / (SHADES - 1);
      context.strokeStyle = `hsl(${182 + 28 * part} ${Math.round(80 - 62 * part)}% ${Math.round(36 + 30 * part)}%)`;
      context.globalAlpha = Math.max(0.1, (0.9 - 0.6 * part) * dense);
      context.lineWidth = shade === 0 ? 2 : 1;
      context.beginPath();
      rank.forEach((value, trial) => {
        if (Math.min(SHADES - 1, Math.floor(value * SHADES)) !== shade) return;
        if (columns.some((column) => column.values[trial] === null || column.values[trial] === undefined)) return;
        columns.forEach((column, index) => context[index ? "lineTo" : "moveTo"](at(index), up(index, column.values[trial])));
      });
      context.stroke();
    }
    context.globalAlpha = 1;
    context.fillStyle = colour("--ink");
    context.strokeStyle = colour("--line");
    columns.forEach((column, index) => {
      context.beginPath();
      context.moveTo(at(index), top);
      context.lineTo(at(index), bottom);
      context.stroke();
      context.textAlign = index === 0 ? "left" : index === columns.length - 1 ? "right" : "center";
      const x = index === 0 ? 4 : index === columns.length - 1 ? width - 4 : at(index);
      context.textBaseline = "bottom";
      context.fillText(column.name, x, top - 16, (right - left) / Math.max(1, columns.length - 1));
      const ends = scales[index] ? [scales[index].log ? 10 ** scales[index].b : scales[index].b, scales[index].log ? 10 ** scales[index].a : scales[index].a].map(number)
        : [column.choices[column.choices.length - 1], column.choices[0]];
      context.fillText(ends[0], x, top - 2);
      context.textBaseline = "top";
      context.fillText(ends[1], x, bottom + 4);
    });
  }, frame);
}

/** Mean and interval of the model along one parameter; *choices* are drawn as bars side by side. */
export function slicePlot(label, { x: xs, mean, low, high, log, outcome_log, choices, at, names }) {
  return canvas(label, 220, (context, width, height) => {
    const places = choices ? xs.map((_, index) => index) : xs;
    const isLog = outcome_log ?? isWide([...low, ...high]);
    const [x, y] = [axis(places, { log: log && !choices, pad: choices ? 0.25 : 0 }), axis([...low, ...high], { log: isLog })];
    const texts = choices ? { ticks: places, of: (index) => choices[index] } : {};
    const { px, py, bottom } = frameOf(context, width, height, x, y, names, texts);
    context.fillStyle = colour("--band");
    context.strokeStyle = colour("--series-1");
    if (choices) {
      places.forEach((place) => {
        context.fillRect(px(place) - 8, py(high[place]), 16, py(low[place]) - py(high[place]));
        dots(context, [[px(place), py(mean[place])]], colour("--series-1"), 4);
        context.fillStyle = colour("--band");
      });
      return;
    }
    context.beginPath();
    places.forEach((place, index) => context[index ? "lineTo" : "moveTo"](px(place), py(high[index])));
    for (let index = places.length - 1; index >= 0; index -= 1) context.lineTo(px(places[index]), py(low[index]));
    context.fill();
    line(context, places.map((place, index) => [px(place), py(mean[index])]), colour("--series-1"));
    if (Number.isFinite(at)) {
      context.setLineDash([4, 4]);
      context.beginPath();
      context.moveTo(px(at), MARGIN.top);
      context.lineTo(px(at), bottom);
      context.stroke();
      context.setLineDash([]);
    }
  });
}

/** What stations did, do and will do. *bars* are {station, begin, end, kind, colour, text, isBad} in epoch seconds. */
export function timelinePlot(label, { stations, bars, now, begin, end, onhover }) {
  const row = 30, top = 8, bottom = 26, left = 110;
  const height = top + bottom + row * Math.max(1, stations.length);
  const boxes = [];
  const frame = canvas(label, height, (context, width) => {
    boxes.length = 0;
    const across = (time) => left + ((time - begin) / Math.max(1, end - begin)) * (width - left - 8);
    context.textBaseline = "middle";
    stations.forEach((station, index) => {
      context.fillStyle = index % 2 ? "transparent" : colour("--stripe");
      context.fillRect(0, top + index * row, width, row);
      context.fillStyle = colour("--ink");
      context.textAlign = "left";
      context.fillText(station, 4, top + (index + 0.5) * row, left - 10);
    });
    for (const bar of bars) {
      const index = stations.indexOf(bar.station);
      const [from, to] = [Math.max(left, across(bar.begin)), Math.max(across(bar.end), across(bar.begin) + 2)];
      if (to < left || index < 0) continue;
      const box = [from, top + index * row + 4, Math.max(2, to - from), row - 8];
      context.globalAlpha = bar.kind === "planned" ? 0.22 : bar.kind === "now" ? 1 : 0.7;
      context.fillStyle = bar.isBad ? colour("--bad") : bar.colour;
      context.fillRect(...box);
      context.globalAlpha = 1;
      if (bar.kind === "planned") {
        context.strokeStyle = bar.colour;
        context.lineWidth = 1;
        context.setLineDash([3, 3]);
        context.strokeRect(box[0] + 0.5, box[1] + 0.5, Math.max(1, box[2] - 1), box[3] - 1);
        context.setLineDash([]);
      }
      if (bar.label && context.measureText(bar.label).width + 6 < box[2]) {
        context.fillStyle = bar.kind === "planned" ? colour("--ink") : colour("--paper");
        context.textAlign = "center";
        context.fillText(bar.label, box[0] + box[2] / 2, top + (index + 0.5) * row);
      }
      boxes.push([box, bar.text]);
    }
    context.strokeStyle = colour("--ink");
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(across(now), top);
    context.lineTo(across(now), height - bottom);
    context.stroke();
    context.fillStyle = colour("--quiet");
    context.textAlign = "center";
    context.textBaseline = "top";
    const every = niceSpan((end - begin) / Math.max(2, (width - left) / 120));
    for (let time = Math.ceil(begin / every) * every; time < end; time += every) {
      const isMidnight = new Date(time * 1000).getHours() === 0 && new Date(time * 1000).getMinutes() === 0;
      context.fillText(every >= 86400 || isMidnight ? at(time, true) : hour(time, every < 60), across(time), height - bottom + 6);
    }
  });
  frame.addEventListener("mousemove", (event) => {
    const box = frame.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const found = boxes.filter(([[a, b, w, hgt]]) => x >= a && x <= a + w && y >= b && y <= b + hgt).pop();
    onhover(found ? found[1] : "");
  });
  return frame;
}

/** A moment, in epoch seconds, as it stands under an axis. */
const at = (time, isDay) => formatOf(!isDay).format(new Date(time * 1000));

const hour = (time, hasSeconds) => formatOf(true, false).format(new Date(time * 1000))
  + (hasSeconds ? `:${String(Math.round(time % 60)).padStart(2, "0")}` : "");

function niceSpan(seconds) {
  return [10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800].find((span) => span >= seconds) ?? 2592000;
}
