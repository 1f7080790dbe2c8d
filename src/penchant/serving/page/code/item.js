// One item: what is known of it, why it has its score for this visitor, and which items are alike.

import { ask, place } from "./api.js";
import { h, icon } from "./dom.js";
import { itemPlace, nameLink, tile } from "./parts.js";
import { rater } from "./stars.js";
import { emptiness, fill, skeleton } from "./states.js";
import { fixed, parts, plural, rating, signed, words } from "./text.js";

const N_SIMILAR = 10;
const N_CAUSES = 8;

/** Builds the view of the item with this id. */
export function item(app, id) {
  const view = { element: h("div", { class: "item-view" }), title: "Item" };
  const back = h("button", { class: "link back", type: "button", onclick: () => (history.length > 1 ? history.back() : (location.hash = "#/")) }, icon("back"), "Back");
  const box = h("div", { class: "item-box" });
  view.element.append(back, box);
  fill(box, async () => {
    const one = await known(id);
    if (one.failure) return emptiness(one.failure.message, "It may have been in a model before this one. Search for another.");
    view.title = parts(one.name)[0];
    document.title = `${view.title} · penchant`;
    const why = reasons(app, one);
    view.end = why.end;
    return [about(app, one), h("div", { class: "item-columns" }, why.element, neighbours(app, one))];
  }, skeleton(5));
  return view;
}

/** The item, or the failure where the model has none of this id: asking again would not bring it. */
async function known(id) {
  try {
    return await ask(`v1/items/${place(id)}`);
  } catch (failure) {
    if (failure.status !== 404) throw failure;
    return { failure };
  }
}

function about(app, one) {
  const [title, year] = parts(one.name);
  const onMap = h("a", { class: "button plain", href: `#/map/${encodeURIComponent(String(one.item))}` }, icon("spot"), "Show on the map");
  return h(
    "section", { class: "panel item-head" }, tile(one, app.palette, "large"),
    h(
      "div", { class: "item-about" },
      h("h1", {}, title, year ? h("span", { class: "year" }, ` ${year}`) : null),
      h("p", { class: "faint" }, `${plural(one.ratings, "rating")} in the training data`),
      facts(one),
      h("div", { class: "item-actions" }, rater(one, app), onMap),
    ),
  );
}

/** The columns that say something which the name does not. */
function facts(one) {
  const said = Object.entries(one.columns ?? {}).filter(([name, value]) => value != null && value !== "" && !/(^|_|[a-z])id$/i.test(name) && tells(value, one));
  if (!said.length) return null;
  const rows = said.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, words(value).join(" · "))]);
  return h("dl", { class: "facts" }, ...rows);
}

const tells = (value, one) => String(value) !== one.name && String(value) !== String(one.item) && !/^https?:/.test(value);

// --- why

function reasons(app, one) {
  const box = h("div");
  const draw = () => fill(box, () => causes(app, one), skeleton(4, "line"));
  draw();
  app.ratings.addEventListener("change", draw);
  const element = h("section", { class: "panel", "aria-labelledby": "why" }, h("div", { class: "head" }, h("h2", { id: "why" }, app.model.rating_scale === null ? "What you like says" : "What your ratings say")), box);
  return { element, end: () => app.ratings.removeEventListener("change", draw) };
}

async function causes(app, one) {
  const history = app.ratings.history().filter((entry) => entry.item !== one.item);
  if (!history.length) return emptiness("Not known yet.", "Rate a few others, and this says which of them speak for it.");
  try {
    return waterfall(app, await ask("v1/explain", { body: { history, item: one.item } }));
  } catch (failure) {
    if (await app.setAside(failure)) return causes(app, one);
    if (failure.status === 422 || failure.status === 501) return emptiness(failure.message, failure.hint);
    throw failure;
  }
}

/** What each rating adds, as bars to both sides of nothing, from an average visitor to this one. */
function waterfall(app, told) {
  const largest = Math.max(1e-9, ...told.items.map((cause) => Math.abs(cause.adds)), Math.abs(told.rest));
  const strongest = [...told.items].sort((a, b) => Math.abs(b.adds) - Math.abs(a.adds));
  const [shown, others] = [strongest.slice(0, N_CAUSES).sort((a, b) => b.adds - a.adds), strongest.slice(N_CAUSES)];
  const rates = app.model.rating_scale !== null;
  const rows = shown.map((cause) => causeRow(causeName(cause, rates), cause.adds, largest));
  const rest = told.rest + others.reduce((sum, cause) => sum + cause.adds, 0);
  if (others.length) rows.push(causeRow(plural(others.length, "other rating"), rest, largest));
  else if (Math.abs(rest) >= 0.005) rows.push(causeRow("what no rating alone explains", rest, largest));
  return h(
    "div", { class: "causes" },
    h("dl", { class: "causes-list" }, rates ? totalRow("An average visitor", told.average) : null, ...rows.flat(), totalRow(rates ? "You" : "Your score", told.score)),
    rates ? outside(told.score, app.model.rating_scale) : null,
  );
}

function causeName(cause, rates) {
  const [title] = parts(cause.name);
  const link = h("a", { href: itemPlace(cause.item) }, title);
  return cause.rating == null || !rates ? link : [link, h("span", { class: "faint" }, ` ${rating(cause.rating)}`)];
}

function causeRow(name, adds, largest) {
  const style = { "--size": `${(50 * Math.abs(adds)) / largest}%` };
  const bar = h("span", { class: `cause-bar ${adds < 0 ? "is-against" : ""}`, "aria-hidden": "true", style });
  return [h("dt", {}, ...[name].flat()), h("dd", {}, bar, h("span", { class: "number" }, signed(adds)))];
}

function totalRow(name, value) {
  return [h("dt", { class: "total" }, name), h("dd", { class: "total" }, h("span", { class: "number" }, fixed(value)))];
}

function outside(score, [low, high]) {
  if (score >= low && score <= high) return null;
  return h("p", { class: "faint" }, `Predictions stay between ${rating(low)} and ${rating(high)}; lists are sorted by the number above.`);
}

// --- neighbours

function neighbours(app, one) {
  const box = h("div");
  fill(box, () => alike(app, one), skeleton(5, "small"));
  return h("section", { class: "panel", "aria-labelledby": "alike" }, h("div", { class: "head" }, h("h2", { id: "alike" }, "Alike")), box);
}

async function alike(app, one) {
  try {
    const { similar } = await ask(`v1/items/${place(one.item)}/similar`, { query: { k: N_SIMILAR } });
    if (!similar.length) return emptiness("Nothing is alike.", "Too few others have enough ratings to compare.");
    return h("ol", { class: "list similar", "aria-label": "Items that are alike" }, ...similar.map((other) => alikeRow(app, other)));
  } catch (failure) {
    if (failure.status === 422 || failure.status === 501) return emptiness(failure.message, failure.hint);
    throw failure;
  }
}

function alikeRow(app, other) {
  const style = { "--size": `${100 * Math.max(0, other.similarity)}%` };
  const said = `similarity ${fixed(other.similarity)}`;
  const bar = h("span", { class: "alike-bar", role: "img", "aria-label": said, title: said, style });
  const about = h("div", { class: "about" }, nameLink(other), bar);
  return h("li", { class: "row similar-row" }, tile(other, app.palette, "small"), about, rater(other, app));
}
