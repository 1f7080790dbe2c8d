// Pieces that several views are made of: tiles, names, chips, the bar of an interval.

import { hueOf } from "./colours.js";
import { h, s } from "./dom.js";
import { initial, parts, percent, rating, words } from "./text.js";

/** A coloured square with the first letter: a picture for items that have none. */
export function tile(item, palette, size = "") {
  const attributes = { class: `tile ${size}`, "aria-hidden": "true", style: { "--hue": hueOf(item, palette) } };
  return h("span", attributes, initial(item.name));
}

/** The name as a link to the item, its year set apart. */
export function nameLink(item) {
  const [title, year] = parts(item.name);
  return h(
    "a", { class: "name", href: itemPlace(item.item) },
    title, year ? h("span", { class: "year" }, ` ${year}`) : null,
  );
}

/** Where an item is found on this page. */
export const itemPlace = (id) => `#/item/${encodeURIComponent(String(id))}`;

/** The words of the columns that a model can be asked by, at most four. */
export function tags(item, model) {
  const found = model.columns.filter((column) => column.kind === "words").flatMap((column) => words(item.columns?.[column.name]));
  if (!found.length) return null;
  return h("span", { class: "tags" }, [...new Set(found)].slice(0, 4).join(" · "));
}

/** A prediction with its interval as a bar on the scale. */
export function predicted(one, scale) {
  if (one.prediction === null || !scale) return null;
  const box = h("span", { class: "predicted" });
  box.append(h("span", { class: "predicted-value" }, one.prediction.toFixed(1)));
  if (one.interval) box.append(bar(one, scale));
  return box;
}

function bar({ prediction, interval }, [low, high]) {
  const at = (value) => `${2 + (96 * (Math.min(high, Math.max(low, value)) - low)) / (high - low)}%`;
  const said = `predicted ${rating(prediction)}; with ${percent(interval.probability)} probability between `
    + `${rating(interval.low)} and ${rating(interval.high)}`;
  const line = (x1, x2, name) => s("line", { class: name, x1, x2, y1: 5, y2: 5 });
  const drawn = s(
    "svg", { class: "interval", role: "img", "aria-label": said },
    s("title", {}, said),
    line("2%", "98%", "interval-scale"), line(at(interval.low), at(interval.high), "interval-range"),
    s("line", { class: "interval-point", x1: at(prediction), x2: at(prediction), y1: 0.5, y2: 9.5 }),
  );
  return drawn;
}

/** "because you rated Heat 5". */
export function because(reason, ratings) {
  if (!reason) return null;
  const own = ratings.of(reason.item);
  const [title] = parts(reason.name);
  const link = h("a", { href: itemPlace(reason.item) }, title);
  const liked = own === null || own.rating === null;
  return h("span", { class: "because" }, liked ? "because you like " : "because you rated ", link, liked ? "" : ` ${rating(own.rating)}`);
}
