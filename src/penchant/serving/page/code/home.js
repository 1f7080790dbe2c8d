// The first view: what to rate, what was rated, and what is recommended.

import { ask } from "./api.js";
import { announce, h, icon, toast } from "./dom.js";
import { arrange, listOf } from "./lists.js";
import { because, nameLink, predicted, tags, tile } from "./parts.js";
import { keyOf } from "./ratings.js";
import { rater } from "./stars.js";
import { emptiness, failed, fill, skeleton } from "./states.js";
import { parts, plural, rating as shown } from "./text.js";
import { wishes } from "./wishes.js";

const N_STARTERS = 6;
const N_POPULAR = 60;

/** Builds the view; the function that is returned ends it. */
export function home(app) {
  const view = new Home(app);
  return { element: view.element, title: "For you", end: () => view.end() };
}

class Home {
  constructor(app) {
    this.app = app;
    this.shownBefore = null; // keys of the last list, to say what is new
    this.list = listOf("recommendations", "Recommendations");
    this.results = h("div", { class: "results" });
    this.summary = h("p", { class: "faint" });
    this.starters = h("div", { class: "starters-box" });
    this.mine = listOf("mine", "Your ratings");
    this.mineCount = h("span", { class: "faint" });
    this.element = h("div", { class: "home" }, h("h1", { class: "unseen" }, "For you"), this.recommended(), this.aside());
    this.changed = () => (this.showMine(), this.showStarters(), this.recommend());
    app.ratings.addEventListener("change", this.changed);
    this.showMine();
    this.loadStarters();
    this.recommend();
  }

  end() {
    this.app.ratings.removeEventListener("change", this.changed);
    this.running?.abort();
  }

  recommended() {
    this.wishes = wishes(this.app, () => this.recommend());
    const head = h("div", { class: "head" }, h("h2", { id: "for-you" }, "Recommended for you"), this.summary);
    return h("section", { class: "panel main-panel", "aria-labelledby": "for-you" }, head, this.wishes.element, this.results);
  }

  aside() {
    const other = h("button", { class: "link", type: "button", onclick: () => this.otherStarters() }, "Show others");
    const rate = h(
      "section", { class: "panel", "aria-labelledby": "rate-a-few" },
      h("div", { class: "head" }, h("h2", { id: "rate-a-few" }, this.app.steps ? "Rate what you know" : "What do you like?"), other),
      this.starters,
    );
    this.forget = h("button", { class: "link danger", type: "button", onclick: () => forgetting(this.app.ratings) }, "Forget my ratings");
    const mine = h(
      "section", { class: "panel", "aria-labelledby": "my-ratings" },
      h("div", { class: "head" }, h("h2", { id: "my-ratings" }, this.app.steps ? "Your ratings" : "What you like"), this.mineCount),
      this.mine, this.forget,
    );
    return h("div", { class: "aside" }, rate, mine);
  }

  // --- recommendations

  async recommend(attempt = 0) {
    const { ratings } = this.app;
    this.running?.abort();
    if (!ratings.known.length) return this.nothingYet();
    this.wishes.element.hidden = false;
    if (!this.list.isConnected) this.results.replaceChildren(skeleton(6));
    this.results.setAttribute("aria-busy", "true");
    this.running = new AbortController();
    const { signal } = this.running;
    try {
      const answer = await this.app.recommendations(this.wishes.body(), signal);
      this.show(answer.recommendations);
    } catch (failure) {
      if (signal.aborted) return;
      if (await this.app.setAside(failure)) return this.recommend();
      this.results.replaceChildren(failed(failure, () => this.recommend(attempt + 1), attempt));
    }
    if (!signal.aborted) this.results.removeAttribute("aria-busy");
  }

  nothingYet() {
    this.shownBefore = null;
    this.wishes.element.hidden = true;
    this.list.replaceChildren();
    this.summary.textContent = "";
    this.results.removeAttribute("aria-busy");
    const how = this.app.steps ? "Rate one or two things you know, here or by searching." : "Say of one or two things that you like them.";
    this.results.replaceChildren(emptiness("Your list starts with your first rating.", `${how} It changes with every one, and says why.`));
  }

  show(entries) {
    if (!entries.length) {
      this.list.replaceChildren();
      this.summary.textContent = "";
      this.results.replaceChildren(emptiness("Nothing is left.", "No item matches all filters. Remove one of them."));
      return announce("No recommendations match.");
    }
    const before = this.shownBefore;
    this.shownBefore = new Set(entries.map((entry) => keyOf(entry.item)));
    const isNew = (entry) => before !== null && !before.has(keyOf(entry.item));
    if (!this.list.isConnected) this.results.replaceChildren(this.list);
    arrange(this.list, entries, (entry) => this.row(entry));
    [...this.list.children].forEach((row, n) => row.classList.toggle("is-new", isNew(entries[n])));
    this.say(entries, before && entries.filter(isNew).length);
  }

  say(entries, nNew) {
    const from = `from ${plural(this.app.ratings.known.length, this.app.steps ? "rating" : "like")}`;
    const news = nNew === null ? "" : nNew === 0 ? ", the same as before" : `, ${nNew} new`;
    this.summary.textContent = `${entries.length} ${from}${news}`;
    announce(`${entries.length} recommendations ${from}${news}. First: ${entries[0].name}.`);
  }

  row(first) {
    const { app } = this;
    const about = h("div", { class: "about" });
    const number = h("span", { class: "rank", "aria-hidden": "true" });
    const prediction = h("div", { class: "prediction" });
    const control = rater(first, { ratings: app.ratings, steps: app.steps, rated: (item, value) => this.rated(item, value) });
    const row = h("li", { class: "row" }, number, tile(first, app.palette), about, prediction, h("div", { class: "rate" }, control));
    row.update = (entry, n) => {
      number.textContent = n + 1;
      about.replaceChildren(h("span", { class: "title-line" }, nameLink(entry), h("span", { class: "new" }, "new")), ...some(tags(entry, app.model)), ...some(because(entry.reason, app.ratings)));
      prediction.replaceChildren(...some(predicted(entry, app.model.rating_scale)));
    };
    return row;
  }

  rated(item, value) {
    const [title] = parts(item.name);
    toast(value === null ? `You like ${title}.` : `${title}: ${shown(value)}.`, "Undo", () => this.app.ratings.remove(item.item));
  }

  // --- what to rate

  async loadStarters() {
    await fill(this.starters, async () => {
      const { items } = await ask("v1/items", { query: { search: "", limit: N_POPULAR } });
      Object.assign(this, { popular: items, from: 0 });
      this.starterList = listOf("starters", "Popular, to rate");
      this.showStarters();
      return this.starterList;
    }, skeleton(N_STARTERS, "small"));
  }

  showStarters() {
    if (!this.popular) return;
    const { ratings } = this.app;
    const left = this.popular.filter((item) => ratings.of(item.item) === null);
    if (this.from >= left.length) this.from = 0;
    arrange(this.starterList, left.slice(this.from, this.from + N_STARTERS), (item) => this.smallRow(item, false));
    if (!left.length) this.starterList.replaceChildren(h("li", { class: "faint" }, "You have rated all of these. Search for more."));
  }

  otherStarters() {
    this.from = (this.from ?? 0) + N_STARTERS;
    this.showStarters();
    announce("Others to rate.");
  }

  // --- what was rated

  showMine() {
    const { ratings } = this.app;
    this.mineCount.textContent = ratings.size ? String(ratings.size) : "";
    this.forget.hidden = !ratings.size;
    arrange(this.mine, ratings.all, (entry) => this.smallRow(entry, true));
    for (const row of this.mine.children) row.classList.toggle("is-strange", ratings.strangers.has(row.dataset.key));
    if (!ratings.size) this.mine.replaceChildren(h("li", { class: "faint" }, "Nothing yet. What you rate is kept in this browser only."));
    this.note(ratings);
  }

  note(ratings) {
    this.noted?.remove();
    const text = !ratings.kept
      ? "This browser keeps nothing, so your ratings last until the page is left."
      : ratings.strangers.size ? `${plural(ratings.strangers.size, "item")} this model does not know; kept, and not used.` : null;
    if (text) this.mine.after((this.noted = h("p", { class: "note" }, text)));
  }

  smallRow(item, removable) {
    const { ratings, steps, palette } = this.app;
    const control = removable && !steps ? null : rater(item, { ratings, steps });
    const remove = () => ratings.remove(item.item);
    const cross = h("button", { class: "quiet round small", type: "button", "aria-label": `Remove ${item.name}`, onclick: remove }, icon("close"));
    return h("li", { class: "row small-row" }, tile(item, palette, "small"), h("div", { class: "about" }, nameLink(item), control), removable ? cross : null);
  }
}

const some = (element) => (element ? [element] : []);

function forgetting(ratings) {
  const close = () => dialog.remove();
  const dialog = h(
    "dialog", { class: "dialog", "aria-labelledby": "forget-title", onclose: close },
    h("h2", { id: "forget-title" }, "Forget your ratings?"),
    h("p", {}, `${plural(ratings.size, "rating")} in this browser will be gone. No server keeps a copy of them.`),
    h(
      "form", { method: "dialog", class: "buttons" },
      h("button", { class: "button plain" }, "Keep them"),
      h("button", { class: "button danger", onclick: () => (ratings.forget(), announce("Your ratings are forgotten.")) }, "Forget them"),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
