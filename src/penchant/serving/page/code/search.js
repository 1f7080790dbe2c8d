// The search field: names as they are typed, each to be rated at once.

import { ask } from "./api.js";
import { announce, h, icon, later } from "./dom.js";
import { nameLink, tags, tile } from "./parts.js";
import { rater } from "./stars.js";
import { failed } from "./states.js";
import { plural } from "./text.js";

const N_FOUND = 8;
const WAIT = 120; // milliseconds without a key until it is asked

/** Builds the field into its form. `app.on("search", text)` is told what is typed, so that the map can show it. */
export function searchField(form, app) {
  const input = h("input", {
    type: "search", id: "search-text", "aria-label": "Search by name", placeholder: "Search by name", spellcheck: "false",
    "aria-controls": "found", "aria-expanded": "false", role: "combobox", "aria-autocomplete": "none", "aria-haspopup": "dialog",
  });
  const panel = h("div", { class: "found", id: "found", role: "dialog", "aria-label": "Search results", hidden: true });
  form.replaceChildren(icon("search"), input, h("kbd", { "aria-hidden": "true" }, "/"), panel);
  new Search(form, input, panel, app);
}

class Search {
  constructor(form, input, panel, app) {
    Object.assign(this, { form, input, panel, app, running: null });
    const soon = later(() => this.look(), WAIT);
    input.addEventListener("input", () => (app.tell("search", input.value.trim()), soon()));
    input.addEventListener("focus", () => input.value.trim() && this.look());
    app.addEventListener("ready", () => this.look());
    form.addEventListener("submit", (event) => (event.preventDefault(), this.look()));
    form.addEventListener("keydown", (event) => this.pressed(event));
    form.addEventListener("focusout", (event) => form.contains(event.relatedTarget) || !event.relatedTarget || this.close());
    document.addEventListener("pointerdown", (event) => form.contains(event.target) || this.close());
    document.addEventListener("keydown", (event) => this.called(event));
    addEventListener("hashchange", () => this.close());
  }

  called(event) {
    const writes = event.target.closest?.("input, textarea, select, dialog");
    if (event.key !== "/" || writes || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.input.focus();
    this.input.select();
  }

  pressed(event) {
    if (event.key === "Escape" && !this.panel.hidden) {
      event.preventDefault();
      this.close();
      this.input.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      this.step(event.key === "ArrowDown" ? 1 : -1);
    }
  }

  /** From row to row, and back into the field. */
  step(by) {
    const rows = [...this.panel.querySelectorAll("li")];
    const at = rows.findIndex((row) => row.contains(document.activeElement)) + by;
    if (at < 0) return this.input.focus();
    rows[Math.min(at, rows.length - 1)]?.querySelector("[role=slider], .like")?.focus();
  }

  close() {
    this.running?.abort();
    this.panel.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }

  open(...content) {
    this.panel.replaceChildren(...content);
    this.panel.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
  }

  async look(attempt = 0) {
    const text = this.input.value.trim();
    if (!text || !this.app.model) return this.close(); // asked again when there is a model
    this.running?.abort();
    this.running = new AbortController();
    try {
      const query = { search: text, limit: N_FOUND };
      const { items } = await ask("v1/items", { query, signal: this.running.signal });
      this.show(items, text);
    } catch (failure) {
      if (failure.name === "AbortError") return;
      this.open(failed(failure, () => this.look(attempt + 1), attempt));
    }
  }

  show(items, text) {
    if (!items.length) {
      this.open(h("p", { class: "found-none" }, `Nothing is called anything like “${text}”.`));
      return announce("Nothing found.");
    }
    this.open(h("ul", { class: "found-list" }, ...items.map((item) => this.row(item))));
    announce(`${items.length} found. Arrow down goes to them.`);
  }

  row(item) {
    const { ratings, steps, model, palette } = this.app;
    const about = h("span", { class: "about" }, nameLink(item), h("span", { class: "faint" }, plural(item.ratings, "rating"), ...this.more(item, model)));
    return h("li", { class: "found-row" }, tile(item, palette, "small"), about, rater(item, { ratings, steps }));
  }

  more(item, model) {
    const words = tags(item, model);
    return words ? [" · ", words] : [];
  }
}
