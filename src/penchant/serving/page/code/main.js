// The page: what all views share, which view is shown, and the theme.

import { ask, onKeyWanted } from "./api.js";
import { Words, wordColumns } from "./colours.js";
import { announce, icon } from "./dom.js";
import { home } from "./home.js";
import { item } from "./item.js";
import { askKey } from "./key.js";
import { map } from "./map.js";
import { card } from "./card.js";
import { keyOf, Ratings, stepsOf } from "./ratings.js";
import { searchField } from "./search.js";
import { fill, skeleton } from "./states.js";

const VIEWS = { "": home, item, map, model: card };
const main = document.getElementById("main");

/** What views are given: the model's card, the visitor's ratings, and questions that several of them ask. */
class App extends EventTarget {
  async start() {
    this.take(await ask("v1/model"));
    this.ratings = new Ratings(this.model.rating_scale);
    this.steps = stepsOf(this.model.rating_scale);
    addEventListener("hashchange", () => this.go());
    this.tell("ready");
  }

  take(model) {
    this.model = model;
    const [first] = wordColumns(model);
    this.palette = first ? new Words(first.name, first.values) : null;
    document.getElementById("foot-model").textContent = `Model ${model.model}, version ${String(model.version).slice(0, 8)}`;
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Recommendations for what was rated; a new version of the model is noticed by them. */
  async recommendations(wished, signal) {
    const body = { history: this.ratings.history(), ...wished, reasons: true, intervals: this.model.has_intervals };
    const answer = await ask("v1/recommendations", { body, signal });
    if (answer.model !== this.model.version) ask("v1/model").then((model) => this.take(model), () => null);
    return answer;
  }

  /** Sets ratings of items aside that this model does not know; whether there were any, so that asking again helps. */
  async setAside(failure) {
    if (failure.status !== 404) return false;
    const strange = await Promise.all(this.ratings.known.map(({ item: id }) => isStrange(id)));
    const found = this.ratings.known.filter((_, n) => strange[n]);
    found.forEach(({ item: id }) => this.ratings.strangers.add(keyOf(id)));
    if (found.length) this.ratings.tell(null);
    return found.length > 0;
  }

  /** Shows the view that the address names. */
  go() {
    const [, name = "", ...rest] = location.hash.split("/");
    const build = VIEWS[name] ?? home;
    this.view?.end?.();
    this.view = build(this, decodeURIComponent(rest.join("/")));
    main.replaceChildren(this.view.element);
    document.title = `${this.view.title} · penchant`;
    for (const tab of document.querySelectorAll(".tabs a")) {
      const here = tab.dataset.view === (name || "home");
      here ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current");
    }
    if (this.moved) scrollTo(0, 0), main.focus({ preventScroll: true }), announce(this.view.title);
    this.moved = true;
  }
}

async function isStrange(id) {
  try {
    const found = await ask(`v1/items/${encodeURIComponent(String(id))}`);
    return keyOf(found.item) !== keyOf(id);
  } catch (failure) {
    return failure.status === 404 || failure.status === 422;
  }
}

// --- the theme

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function themeButton(button, app) {
  const draw = () => {
    const to = isDark() ? "light" : "dark";
    button.replaceChildren(icon(isDark() ? "sun" : "moon"));
    button.setAttribute("aria-label", `Use the ${to} theme`);
    button.title = `Use the ${to} theme`;
    app.tell("theme");
  };
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("penchant.theme", theme);
    } catch {
      // Chosen for as long as the page is open.
    }
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

const app = new App();
onKeyWanted(askKey);
searchField(document.getElementById("search"), app); // at once: what is typed early is not lost
themeButton(document.getElementById("theme"), app);
fill(main, async () => {
  await app.start();
  app.go();
  return app.view.element;
}, skeleton(6));
