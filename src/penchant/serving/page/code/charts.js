// Curves and intervals as SVG: axes that people read, colours of the theme.

import { s } from "./dom.js";

const WIDTH = 460;
const HEIGHT = 260;
const EDGE = { left: 46, right: 14, top: 12, bottom: 42 };

/** A picture with axes. `lines`: [{points: [[x, y]…], name, tone, marks}]; missing values are left out. */
export function plot({ lines, x, y, label, extra = [] }) {
  const [xAt, yAt] = [scale(x, EDGE.left, WIDTH - EDGE.right), scale(y, HEIGHT - EDGE.bottom, EDGE.top)];
  const drawn = lines.flatMap((line) => curve(line, xAt, yAt));
  return s(
    "svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    ...y.ticks.map((tick) => gridLine(tick, y, yAt)), ...x.ticks.map((tick) => tickMark(tick, x, xAt)),
    s("text", { class: "plot-axis", x: (EDGE.left + WIDTH - EDGE.right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, x.name),
    ...extra.map((line) => s("polyline", { class: "plot-guide", points: pointsOf(line, xAt, yAt) })), ...drawn,
  );
}

function scale({ low, high }, from, to) {
  return (value) => from + ((to - from) * (value - low)) / (high - low || 1);
}

function gridLine(tick, axis, at) {
  return s(
    "g", {}, s("line", { class: "plot-grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: at(tick), y2: at(tick) }),
    s("text", { class: "plot-tick", x: EDGE.left - 8, y: at(tick) + 4, "text-anchor": "end" }, axis.say(tick)),
  );
}

function tickMark(tick, axis, at) {
  return s("text", { class: "plot-tick", x: at(tick), y: HEIGHT - EDGE.bottom + 17, "text-anchor": "middle" }, axis.say(tick));
}

const pointsOf = (points, xAt, yAt) => points.map(([x, y]) => `${xAt(x).toFixed(1)},${yAt(y).toFixed(1)}`).join(" ");

function curve({ points, tone, mark }, xAt, yAt) {
  const known = points.filter(([, y]) => Number.isFinite(y));
  const line = s("polyline", { class: `plot-line tone-${tone}`, points: pointsOf(known, xAt, yAt) });
  const dots = known.filter(([x]) => mark === undefined || x === mark);
  return [line, ...dots.map(([x, y]) => s("circle", { class: `plot-dot tone-${tone}`, cx: xAt(x), cy: yAt(y), r: mark === undefined ? 2.5 : 4.5 }))];
}

/** An axis from the values on it, with about `n` round ticks; it ends at a tick. */
export function axis(name, values, n = 5, say = String) {
  const known = values.filter(Number.isFinite);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const step = round((most - least || 1) / n);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const low = Math.floor(least / step + 1e-9) * step;
  const high = Math.ceil(most / step - 1e-9) * step;
  const ticks = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, k) => low + k * step);
  return { name, low, high: high > low ? high : low + step, ticks, say: (value) => say(Number(value.toFixed(digits))) };
}

function round(step) {
  const ten = 10 ** Math.floor(Math.log10(step));
  return ten * [1, 2, 5, 10].find((part) => part * ten >= step * 0.999);
}

/** A value with its interval, on a line that is shared by `low` and `high`. */
export function whisker({ value, interval, low, high, label, guide }) {
  const at = (number) => `${2 + (96 * (number - low)) / (high - low || 1)}%`;
  const line = (x1, x2, name) => s("line", { class: name, x1, x2, y1: 9, y2: 9 });
  return s(
    "svg", { class: "whisker", role: "img", "aria-label": label }, s("title", {}, label),
    line("2%", "98%", "interval-scale"),
    guide === undefined ? "" : s("line", { class: "plot-guide", x1: at(guide), x2: at(guide), y1: 1, y2: 17 }),
    interval ? line(at(interval[0]), at(interval[1]), "interval-range") : "",
    s("circle", { class: "whisker-dot", cx: at(value), cy: 9, r: 4 }),
  );
}
