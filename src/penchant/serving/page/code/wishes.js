// What is asked of a list besides ratings: how varied, how well known, how long, and filters on columns.

import { h, icon, later } from "./dom.js";

const WAIT = 150; // milliseconds without a movement of a slider until it is asked
const MOST_FILTERS = 6; // columns that can be filtered by here; the service takes all
const kept = { diversity: 0, popularity_damping: 0, k: 10, where: [] }; // while the page is open

/** The controls, and `body()`: what they ask, as the service takes it. */
export function wishes(app, changed) {
  const soon = later(changed, WAIT);
  const chips = h("div", { class: "chips" });
  const set = (name, value) => ((kept[name] = value), soon());
  const redraw = () => drawChips(chips, () => (redraw(), changed()));
  const add = (filter) => {
    if (!kept.where.some((one) => textOf(one) === textOf(filter))) kept.where.push(filter);
    redraw();
    changed();
  };
  redraw();
  const element = h(
    "div", { class: "wishes", role: "group", "aria-label": "What the list should be like" },
    slider("Variety", "from the best alone to things unlike each other", 1, kept.diversity, (value) => set("diversity", value)),
    slider("Less known", "from as it comes to off the beaten track", 2, kept.popularity_damping, (value) => set("popularity_damping", value)),
    lengths((value) => set("k", value)),
    ...app.model.columns.map((column) => filterOf(column, add)).filter(Boolean).slice(0, MOST_FILTERS), chips,
  );
  return { element, body };
}

function body() {
  const { diversity, popularity_damping, k, where } = kept;
  return { k, where: where.map(textOf), diversity, popularity_damping };
}

function slider(label, explained, most, value, changed) {
  const input = h("input", { type: "range", min: 0, max: most, step: most / 20, "aria-description": explained, title: explained });
  const level = () => input.style.setProperty("--filled", `${(100 * input.value) / most}%`);
  input.value = value;
  level();
  input.addEventListener("input", () => (level(), changed(Number(input.value))));
  return h("label", { class: "wish" }, h("span", {}, label), input);
}

function lengths(changed) {
  const options = [10, 20, 50].map((n) => h("option", { value: n, selected: n === kept.k }, String(n)));
  const select = h("select", { onchange: () => changed(Number(select.value)) }, ...options);
  return h("label", { class: "wish" }, h("span", {}, "How many"), select);
}

// --- filters

/** A control that adds filters of one column. */
function filterOf(column, add) {
  if (column.kind === "numbers") return between(column, add);
  if (!column.values.length) return null;
  const options = column.values.map((value) => h("option", { value: String(value) }, String(value)));
  const select = h("select", {}, h("option", { value: "" }, "any"), ...options);
  select.addEventListener("change", () => {
    if (select.value) add({ column: column.name, sign: "=", value: select.value });
    select.value = "";
  });
  return h("label", { class: "wish" }, h("span", {}, column.name), select);
}

function between(column, add) {
  const field = (sign, label) => {
    const input = h("input", { type: "number", step: "any", placeholder: label, "aria-label": `${column.name} ${label}` });
    input.addEventListener("change", () => {
      kept.where = kept.where.filter((one) => one.column !== column.name || one.sign !== sign);
      if (input.value) add({ column: column.name, sign, value: input.value });
      input.value = "";
    });
    return input;
  };
  return h("span", { class: "wish" }, h("span", {}, column.name), field(">=", "from"), field("<=", "to"));
}

const SAID = { "=": "is", "!=": "is not", ">=": "from", "<=": "to" };

const textOf = ({ column, sign, value }) => `${column}${sign}${value}`;

/** What is filtered by; pressing the word turns "is" into "is not", the cross removes it. */
function drawChips(box, changed) {
  box.replaceChildren(...kept.where.map((filter, n) => chip(filter, n, changed)));
  box.hidden = !kept.where.length;
}

function chip(filter, n, changed) {
  const text = `${filter.column} ${SAID[filter.sign]} ${filter.value}`;
  const turn = () => ((filter.sign = filter.sign === "=" ? "!=" : "="), changed());
  const words = ["=", "!="].includes(filter.sign)
    ? h("button", { type: "button", class: "chip-words", title: "Turn into its opposite", onclick: turn }, text)
    : h("span", { class: "chip-words" }, text);
  const remove = () => (kept.where.splice(n, 1), changed());
  const cross = h("button", { type: "button", class: "chip-cross", "aria-label": `Remove the filter ${text}`, onclick: remove }, icon("close"));
  return h("span", { class: `chip ${filter.sign === "!=" ? "is-not" : ""}` }, words, cross);
}
