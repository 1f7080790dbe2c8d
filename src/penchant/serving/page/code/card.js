// The model card: from which data, how it was tested, how its training went, how far its numbers can be trusted.

import { ask } from "./api.js";
import { axis, plot, whisker } from "./charts.js";
import { h } from "./dom.js";
import { fill, skeleton } from "./states.js";
import { count, fixed, percent, plural, rating } from "./text.js";

const NORMAL_95 = 1.96; // standard errors to each side

/** Builds the view. */
export function card(app) {
  const box = h("div", { class: "card-box" });
  fill(box, async () => {
    app.take(await ask("v1/model"));
    return sections(app.model);
  }, skeleton(3, "block"));
  return { element: h("div", { class: "card-view" }, box), title: "Model" };
}

function sections(model) {
  return [head(model), h("div", { class: "card-grid" }, column(metrics(model), coverage(model), split(model)), column(losses(model), groups(model), settings(model)))];
}

const column = (...panels) => h("div", { class: "card-column" }, ...panels);

function panel(id, title, ...content) {
  return h("section", { class: "panel", "aria-labelledby": id }, h("div", { class: "head" }, h("h2", { id }, title)), ...content);
}

const rowsOf = (pairs) => pairs.filter(([, value]) => value != null && value !== "").flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);

// --- the data

function head(model) {
  const { data } = model;
  const numbers = [
    ["ratings", count(data.n_ratings)], ["users", count(data.n_users)], ["items", count(data.n_items)],
    ["of all pairs", percent(data.n_ratings / (data.n_users * data.n_items), 1)],
    data.is_implicit ? null : ["mean rating", fixed(data.mean)],
  ].filter(Boolean);
  return h(
    "section", { class: "panel card-head" },
    h("h1", {}, model.model, h("span", { class: "year" }, ` version ${String(model.version).slice(0, 8)}`)),
    h("p", { class: "faint" }, [fitted(model), period(data)].filter(Boolean).join(" ")),
    model.stripped ? h("p", { class: "faint" }, "Nothing of any of its users is kept; who gives a few ratings is served.") : null,
    h("dl", { class: "numbers" }, ...numbers.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    data.notes?.length ? h("ul", { class: "notes" }, ...data.notes.map((note) => h("li", {}, note))) : null,
  );
}

function fitted({ saved: when, log }) {
  const date = when ? new Date(when) : null;
  const day = date && !Number.isNaN(date.valueOf()) ? `Saved on ${dayOf(date)}` : "";
  const took = log?.fit_seconds ? `fitted in ${log.fit_seconds.toFixed(1)} s` : "";
  return day && took ? `${day}, ${took}.` : day ? `${day}.` : "";
}

function period({ times }) {
  if (!times) return "";
  return `Rated from ${dayOf(new Date(times[0] * 1000))} to ${dayOf(new Date(times[1] * 1000))}.`;
}

const dayOf = (date) => date.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });

function split({ split: made, data }) {
  if (!made) return null;
  const pairs = [
    ["How", made.then ? `${made.how}; then ${made.then}` : made.how], ["Trained on", plural(made.n_train, "rating")], ["Tested on", made.n_valid ? plural(made.n_valid, "rating") : "nothing"],
    ["Of those unknown", made.n_unknown ? `${count(made.n_unknown)}, whose user or item was not in training` : null],
    ["Scale", data.scale && !data.is_implicit ? `${rating(data.scale[0])} to ${rating(data.scale[1])}` : null],
  ];
  return panel("split", "How it was tested", h("dl", { class: "facts" }, ...rowsOf(pairs)), made.may_leak ? h("p", { class: "note" }, made.may_leak) : null);
}

// --- metrics

function metrics({ metrics: valid }) {
  const found = Object.entries(valid?.metrics ?? {});
  if (!found.length) return panel("metrics", "Metrics", h("p", { class: "faint" }, "Nothing was held out, so nothing was measured."));
  const rows = found.map(([name, value]) => metricRow(name, value, valid.intervals?.[name]));
  const on = valid.n_users ? plural(valid.n_users, "user") : plural(valid.n, "held-out rating");
  return panel(
    "metrics", "Metrics",
    h("div", { class: "scrolls", tabindex: 0, role: "group", "aria-labelledby": "metrics" }, h("table", { class: "table" }, h("tbody", {}, ...rows))),
    h("p", { class: "faint" }, `On ${on}; 95 % intervals over users.`),
  );
}

function metricRow(name, value, interval) {
  const span = interval ? interval[1] - interval[0] : 0;
  const label = interval ? `${name} ${fixed(value, 3)}, from ${fixed(interval[0], 3)} to ${fixed(interval[1], 3)}` : "";
  const drawn = span ? whisker({ value, interval, low: interval[0] - span, high: interval[1] + span, label }) : "";
  return h(
    "tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number strong" }, fixed(value, 3)), h("td", { class: "wide" }, drawn),
    h("td", { class: "number faint" }, interval ? `${fixed(interval[0], 3)} – ${fixed(interval[1], 3)}` : ""),
  );
}

// --- losses

function losses({ log }) {
  const epochs = log?.epochs ?? [];
  if (epochs.length < 2) return null;
  const series = [["training", "train_loss", "c0"], ["validation", "valid_loss", "c1"]].filter(([, key]) => epochs.some((one) => one[key] !== null));
  const lines = series.map(([name, key, tone]) => ({ name, tone, mark: log.kept_epoch, points: epochs.map((one) => [one.epoch, one[key] ?? NaN]) }));
  const ends = lines.map(({ name, points }) => `${name} ${fixed(points.find(([epoch]) => epoch === log.kept_epoch)?.[1], 3)}`);
  const label = `Loss by epoch. At epoch ${log.kept_epoch}, which was kept: ${ends.join(", ")}.`;
  const drawn = plot({ lines, label, x: ending(axis("epoch", epochs.map((one) => one.epoch)), epochs.at(-1).epoch), y: axis("loss", lines.flatMap((line) => line.points.map(([, y]) => y)), 4) });
  return panel("losses", "Training", keysOf(lines, ends), drawn, h("p", { class: "faint" }, `Epoch ${log.kept_epoch} was kept.`), asTable(epochs, series));
}

/** An axis that stops at its last value. */
function ending(whole, high) {
  return { ...whole, high, ticks: whole.ticks.filter((tick) => tick <= high) };
}

function keysOf(lines, texts) {
  return h("p", { class: "keys" }, ...lines.map((line, n) => h("span", {}, h("i", { class: `dot tone-${line.tone}` }), texts[n])));
}

function asTable(epochs, series) {
  const header = h("tr", {}, h("th", { scope: "col" }, "epoch"), ...series.map(([name]) => h("th", { scope: "col" }, name)));
  const rows = epochs.map((one) => h("tr", {}, h("td", { class: "number" }, one.epoch), ...series.map(([, key]) => h("td", { class: "number" }, fixed(one[key] ?? NaN, 4)))));
  return h("details", {}, h("summary", {}, "As a table"), h("table", { class: "table" }, h("thead", {}, header), h("tbody", {}, ...rows)));
}

// --- calibration

function coverage({ coverage: measured }) {
  if (!measured?.levels?.length) return null;
  const lines = [{ name: "covered", tone: "c1", points: measured.levels.map((one) => [one.level, one.covered]) }];
  const ninety = nearestTo(measured.levels, 0.9);
  const say = (value) => percent(value);
  const share = { low: 0, high: 1, ticks: [0, 0.25, 0.5, 0.75, 1], say };
  const label = `Calibration: intervals of ${percent(ninety.level)} cover ${percent(ninety.covered, 1)} of held-out ratings and are ${fixed(ninety.width)} wide.`;
  const drawn = plot({ lines, label, x: { ...share, name: "probability that was promised" }, y: { ...share, name: "" }, extra: [[[0, 0], [1, 1]]] });
  const text = `Intervals of ${percent(ninety.level)} hold ${percent(ninety.covered, 1)} of ${plural(measured.n, "held-out rating")} and are ${fixed(ninety.width)} wide. On the dashed line, promises are kept exactly.`;
  return panel("calibration", "Are the intervals honest?", drawn, h("p", { class: "faint" }, text));
}

const nearestTo = (levels, wanted) => levels.reduce((best, one) => (Math.abs(one.level - wanted) < Math.abs(best.level - wanted) ? one : best));

function groups({ coverage: measured }) {
  const tables = [["By ratings of the user", measured?.users], ["By ratings of the item", measured?.items]].filter(([, bands]) => bands?.length);
  if (!tables.length) return null;
  return panel("groups", "For whom?", ...tables.map(([title, bands]) => bandTable(title, bands)), h("p", { class: "faint" }, "How much of the held-out ratings intervals of 90 % hold, with 95 % intervals; the dashed line is at 90 %."));
}

function bandTable(title, bands) {
  const ends = bands.map(({ covered, error }) => [Math.max(0, covered - NORMAL_95 * error), Math.min(1, covered + NORMAL_95 * error)]);
  const low = Math.min(0.85, ...ends.map(([start]) => start));
  const row = ({ least, n, covered }, at) => {
    const next = bands[at + 1]?.least;
    const name = next === undefined ? `${least} or more` : `${least} to ${next - 1}`;
    const label = `${name}: ${percent(covered, 1)} of ${plural(n, "rating")}`;
    return h(
      "tr", {}, h("th", { scope: "row" }, name), h("td", { class: "wide" }, whisker({ value: covered, interval: ends[at], low, high: 1, label, guide: 0.9 })),
      h("td", { class: "number" }, percent(covered, 1)),
    );
  };
  return h("table", { class: "table" }, h("caption", {}, title), h("tbody", {}, ...bands.map(row)));
}

// --- settings

function settings({ settings: chosen, index, log }) {
  const pairs = Object.entries(chosen ?? {}).map(([name, value]) => [name.replaceAll("_", " "), String(value)]);
  const how = index?.kind === "approximate" ? `approximate, ${percent(index.recall ?? NaN, 1)} of what exact search finds` : "exact";
  return panel("settings", "Settings", h("dl", { class: "facts" }, ...rowsOf([...pairs, ["seed", log?.seed == null ? null : String(log.seed)], ["search", index ? how : null]])));
}
