// The map of items: nearby ones are liked by the same people. To be walked by pointer, finger or keyboard.

import { ask } from "./api.js";
import { Numbers, Words, wordColumns } from "./colours.js";
import { announce, h, icon, later } from "./dom.js";
import { Canvas } from "./map_canvas.js";
import { itemPlace, tags } from "./parts.js";
import { rater } from "./stars.js";
import { emptiness, fill, skeleton } from "./states.js";
import { folded, parts, percent, plural } from "./text.js";

const N_POINTS = 3000;
const N_LISTED = 12;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const RATINGS = "number of ratings";
let coloured = null; // the column that was chosen, while the page is open

/** Builds the view, centred on an item where one is named. */
export function map(app, id) {
  const box = h("div", { class: "map-box" });
  const view = { element: h("div", { class: "map-view" }, h("h1", { class: "unseen" }, "Map of items"), box), title: "Map" };
  fill(box, async () => {
    const answer = await loaded();
    if (!answer.items) return emptiness(answer.message, answer.hint);
    const walk = new Walk(app, answer, id);
    view.end = () => walk.end();
    return walk.elements;
  }, skeleton(1, "map"));
  return view;
}

/** The map, or why this model has none. */
async function loaded() {
  try {
    return await ask("v1/map", { query: { limit: N_POINTS } });
  } catch (failure) {
    if (failure.status === 422 || failure.status === 501) return failure;
    throw failure;
  }
}

class Walk {
  constructor(app, answer, id) {
    Object.assign(this, { app, axes: answer.axes, points: answer.items, only: null });
    this.canvas = h("canvas", {
      class: "map", tabindex: 0, role: "application", "aria-describedby": "map-help",
      "aria-label": `Map of ${plural(this.points.length, "item")}`,
    });
    this.card = h("div", { class: "map-card", hidden: true });
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Colours; press one to see it alone" });
    this.listed = h("ul", { class: "list in-view" });
    this.drawn = new Canvas(this.canvas, this.points, later(() => this.list(), 160));
    this.elements = [this.stage(), this.side()];
    this.colour(coloured ?? this.choices()[0]);
    this.mark();
    this.listen();
    const named = this.points.find((point) => String(point.item) === id);
    if (named) requestAnimationFrame(() => (this.drawn.resize(), this.goTo(named, 6)));
  }

  end() {
    this.drawn.end();
    this.ears.abort();
  }

  // --- what is around the canvas

  stage() {
    const button = (name, label, press) => h("button", { class: "button plain square", type: "button", "aria-label": label, title: label, onclick: press }, icon(name));
    const buttons = h(
      "div", { class: "map-buttons" },
      button("plus", "Nearer", () => this.drawn.zoom(1.5)), button("minus", "Farther", () => this.drawn.zoom(1 / 1.5)),
      button("whole", "All of it", () => this.drawn.fly(this.drawn.whole())),
    );
    const help = h("p", { class: "unseen", id: "map-help" }, "Arrow keys go from item to item, plus and minus zoom, 0 shows all, Enter opens the item, Escape lets go of it.");
    return h("div", { class: "map-stage" }, this.canvas, buttons, this.card, help);
  }

  side() {
    const select = h("select", { id: "colour-by" }, ...this.choices().map((name) => h("option", { value: name, selected: name === (coloured ?? this.choices()[0]) }, name)));
    select.addEventListener("change", () => this.colour(select.value));
    const [first, second] = this.axes;
    const axes = first == null ? "" : ` The two directions hold ${percent(first)} and ${percent(second ?? 0)} of what the model knows of items.`;
    return h(
      "aside", { class: "map-side" },
      h("label", { class: "wish", for: "colour-by" }, h("span", {}, "Colour by")), select, this.legend,
      h("h2", {}, "In view"), this.listed,
      h("p", { class: "faint" }, `Items that the same people like are near each other; larger dots have more ratings.${axes}`),
    );
  }

  /** Columns to colour by: words, numbers with several values, and how many ratings there are. */
  choices() {
    const known = this.app.model.columns;
    const numbers = known.filter((column) => column.kind === "numbers");
    return [...wordColumns(this.app.model), ...numbers].map((column) => column.name).concat(RATINGS);
  }

  colour(name) {
    coloured = name;
    const column = this.app.model.columns.find((one) => one.name === name);
    if (column?.kind === "words") this.colours = new Words(name, column.values);
    else if (column) this.colours = new Numbers(name, this.points);
    else this.colours = new Numbers(RATINGS, this.points, (point) => point.ratings);
    for (const point of this.points) point.tone = this.colours.entries[this.colours.of(point)].tone;
    this.only = null;
    this.drawLegend();
    this.fade();
  }

  drawLegend() {
    const present = new Set(this.points.map((point) => this.colours.of(point)));
    const entry = ({ label, tone }, n) => {
      const press = () => ((this.only = this.only === n ? null : n), this.drawLegend(), this.fade());
      const attributes = { class: "legend-entry", type: "button", "aria-pressed": this.only === n, onclick: press };
      return present.has(n) && h("button", attributes, h("i", { class: `dot tone-${tone}` }), label);
    };
    const at = [...this.legend.children].indexOf(document.activeElement);
    this.legend.replaceChildren(...this.colours.entries.map(entry).filter(Boolean));
    if (at >= 0) this.legend.children[at]?.focus();
  }

  fade() {
    const { only, colours } = this;
    this.drawn.marks.faded = only === null ? null : new Set(this.points.filter((point) => !colours.has(point, only)));
    this.drawn.draw();
  }

  list() {
    const seen = this.drawn.inView().slice(0, N_LISTED);
    const row = (point) => h("li", {}, h("button", { class: "link name", type: "button", onclick: () => this.goTo(point, 6) }, ...named(point)));
    this.listed.replaceChildren(...(seen.length ? seen.map(row) : [h("li", { class: "faint" }, "Nothing. Zoom out, or press 0.")]));
  }

  // --- what is marked

  mark() {
    const { ratings } = this.app;
    this.drawn.marks.rated = new Set(this.points.filter((point) => ratings.of(point.item)));
    this.drawn.draw();
  }

  search(text) {
    const wanted = folded(text);
    const found = wanted.length < 2 ? null : new Set(this.points.filter((point) => folded(point.name).includes(wanted)));
    this.drawn.marks.found = found?.size ? found : null;
    this.drawn.draw();
  }

  choose(point) {
    if (point === this.chosen) return;
    this.chosen = this.drawn.marks.chosen = point;
    this.card.hidden = !point;
    if (point) this.fillCard(point);
    this.drawn.draw();
  }

  fillCard(point) {
    const { app } = this;
    const lines = [h("a", { class: "name", href: itemPlace(point.item) }, ...named(point)), tags(point, app.model), h("span", { class: "faint" }, plural(point.ratings, "rating"))];
    this.card.replaceChildren(...lines.filter(Boolean), rater(point, app));
  }

  goTo(point, closeness) {
    this.choose(point);
    this.drawn.fly({ x: point.x, y: point.y, zoom: Math.max(this.drawn.camera.zoom, this.drawn.base * closeness) });
    announce(`${point.name}, ${plural(point.ratings, "rating")}.`);
  }

  // --- pointer, wheel, keys

  listen() {
    this.ears = new AbortController();
    const { signal } = this.ears;
    const hear = (target, name, heard, more) => target.addEventListener(name, heard, { signal, ...more });
    this.fingers = new Map();
    hear(this.canvas, "pointerdown", (event) => this.down(event));
    hear(this.canvas, "pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) hear(this.canvas, name, (event) => this.up(event));
    hear(this.canvas, "wheel", (event) => this.wheeled(event), { passive: false });
    hear(this.canvas, "dblclick", (event) => this.drawn.zoom(2, event.offsetX, event.offsetY));
    hear(this.canvas, "keydown", (event) => this.pressed(event));
    hear(this.app, "search", (event) => this.search(event.detail));
    hear(this.app, "theme", () => this.drawn.draw());
    hear(this.app.ratings, "change", () => this.mark());
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, wandered: 0 });
  }

  moved(event) {
    const finger = this.fingers.get(event.pointerId);
    if (!finger) return this.hover(event);
    const before = this.spread();
    const [dx, dy] = [event.offsetX - finger.x, event.offsetY - finger.y];
    Object.assign(finger, { x: event.offsetX, y: event.offsetY, wandered: finger.wandered + Math.hypot(dx, dy) });
    this.drawn.pan(dx / this.fingers.size, dy / this.fingers.size);
    const after = this.spread();
    if (before && after) this.drawn.zoom(after.wide / before.wide, after.x, after.y);
  }

  /** How far two fingers are apart, and the middle between them. */
  spread() {
    if (this.fingers.size !== 2) return null;
    const [a, b] = [...this.fingers.values()];
    return { wide: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  }

  hover(event) {
    if (event.pointerType !== "mouse") return;
    const point = this.drawn.at(event.offsetX, event.offsetY);
    this.canvas.classList.toggle("is-over", point !== null);
    if (point) this.choose(point);
  }

  up(event) {
    const finger = this.fingers.get(event.pointerId);
    this.fingers.delete(event.pointerId);
    if (!finger || finger.wandered > 6 || event.type === "pointercancel") return;
    const point = this.drawn.at(event.offsetX, event.offsetY);
    if (point && event.pointerType === "mouse") location.hash = itemPlace(point.item);
    else this.choose(point);
  }

  wheeled(event) {
    event.preventDefault();
    this.drawn.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event.offsetX, event.offsetY);
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (STEPS[event.key] && event.shiftKey) this.drawn.pan(...STEPS[event.key].map((step) => -60 * step));
    else if (STEPS[event.key]) this.stepTo(...STEPS[event.key]);
    else if (event.key === "+" || event.key === "=") this.drawn.zoom(1.4);
    else if (event.key === "-") this.drawn.zoom(1 / 1.4);
    else if (event.key === "0") this.drawn.fly(this.drawn.whole());
    else if (event.key === "Enter" && this.chosen) location.hash = itemPlace(this.chosen.item);
    else if (event.key === "Escape") this.choose(null);
    else return;
    event.preventDefault();
  }

  stepTo(dx, dy) {
    const point = this.drawn.toward(this.chosen, dx, dy);
    if (!point) return announce("Nothing farther that way.");
    this.choose(point);
    this.drawn.show(point);
    announce(`${point.name}${this.app.ratings.of(point.item) ? ", rated" : ""}, ${plural(point.ratings, "rating")}`);
  }
}

function named(point) {
  const [title, year] = parts(point.name);
  return [title, ...(year ? [h("span", { class: "year" }, ` ${year}`)] : [])];
}
