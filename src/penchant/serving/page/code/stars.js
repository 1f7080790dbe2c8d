// Rating with one click: stars on the model's own scale, or a heart where a model takes likes only.

import { h, icon } from "./dom.js";
import { rating as shown } from "./text.js";

/** What rates an item and follows `ratings`. A click rates; by keyboard, arrows choose and Enter rates.
 *
 *  `rated(item, value)` is called after a rating; `labelled`: also write the rating beside the stars. */
export function rater(item, { ratings, steps, rated = () => {} }) {
  return steps ? stars(item, ratings, steps, rated) : heart(item, ratings, rated);
}

function heart(item, ratings, rated) {
  const button = h("button", { class: "like", type: "button" });
  const draw = () => {
    const liked = ratings.of(item.item) !== null;
    button.setAttribute("aria-pressed", liked);
    button.setAttribute("aria-label", `I like ${item.name}`);
    button.replaceChildren(icon(liked ? "heart-full" : "heart"), h("span", {}, liked ? "Liked" : "I like it"));
  };
  button.addEventListener("click", () => {
    if (ratings.of(item.item)) ratings.remove(item.item);
    else ratings.rate(item, null), rated(item, null);
  });
  follow(button, ratings, draw);
  return button;
}

function stars(item, ratings, steps, rated) {
  const control = new Stars(item, ratings, steps, rated);
  follow(control.element, ratings, () => control.draw());
  return control.element;
}

/** Draws now and at each change, for as long as the element is on the page. */
function follow(element, ratings, draw) {
  draw();
  const redraw = () => {
    if (element.isConnected || !element.wasShown) draw();
    else ratings.removeEventListener("change", redraw);
    element.wasShown ||= element.isConnected;
  };
  ratings.addEventListener("change", redraw);
}

class Stars {
  constructor(item, ratings, steps, rated) {
    Object.assign(this, { item, ratings, steps, rated, pending: null });
    this.row = h("span", { class: "stars-row" });
    this.value = h("span", { class: "stars-value", "aria-hidden": "true" });
    const nStars = steps.length === 10 ? 5 : steps.length;
    this.element = h(
      "span",
      {
        class: "stars", role: "slider", tabindex: 0, style: { "--stars": nStars },
        "aria-label": `Rate ${item.name}`, "aria-orientation": "horizontal",
        "aria-valuemin": steps[0], "aria-valuemax": steps.at(-1),
        onclick: (event) => this.clicked(event), onkeydown: (event) => this.pressed(event),
        onpointermove: (event) => event.pointerType === "mouse" && this.consider(this.under(event)),
        onpointerleave: () => this.consider(null), onblur: () => this.consider(null),
      },
      this.row, this.value,
    );
  }

  get current() {
    return this.ratings.of(this.item.item)?.rating ?? null;
  }

  draw() {
    const value = this.pending ?? this.current;
    const top = this.steps.at(-1);
    const filled = value === null ? 0 : (100 * (nearest(this.steps, value) + 1)) / this.steps.length;
    this.row.style.setProperty("--filled", `${filled}%`);
    this.element.classList.toggle("is-rated", this.current !== null && this.pending === null);
    this.element.classList.toggle("is-pending", this.pending !== null);
    this.element.setAttribute("aria-valuenow", value ?? this.steps[0]);
    this.element.setAttribute("aria-valuetext", this.said(value, top));
    this.value.textContent = value === null ? "" : shown(value);
  }

  said(value, top) {
    if (value === null) return "not rated";
    return this.pending === null ? `${shown(value)} of ${shown(top)}` : `${shown(value)} of ${shown(top)}; Enter rates`;
  }

  consider(value) {
    if (value === this.pending) return;
    this.pending = value;
    this.draw();
  }

  rate(value) {
    this.pending = null;
    this.ratings.rate(this.item, value);
    this.rated(this.item, value);
  }

  /** The rating below the pointer. */
  under(event) {
    const { left, width } = this.row.getBoundingClientRect();
    const at = Math.floor(((event.clientX - left) / width) * this.steps.length);
    return this.steps[Math.min(this.steps.length - 1, Math.max(0, at))];
  }

  clicked(event) {
    if (event.detail > 0) this.rate(this.under(event));
    else if (this.pending !== null) this.rate(this.pending); // pressed by an aid, not by a pointer
  }

  pressed(event) {
    const at = this.pending ?? this.current;
    const now = at === null ? -1 : nearest(this.steps, at);
    const last = this.steps.length - 1;
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: last, PageUp: now + 2, PageDown: now - 2 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (to !== undefined) this.consider(this.steps[Math.min(last, Math.max(0, to))]);
    else if (/^\d$/.test(event.key)) this.consider(this.steps[nearest(this.steps, Number(event.key))]);
    else if (event.key === "Enter" || event.key === " ") this.pending === null || this.rate(this.pending);
    else if (event.key === "Delete" || event.key === "Backspace") this.ratings.remove(this.item.item);
    else if (event.key === "Escape" && this.pending !== null) event.stopPropagation(), this.consider(null);
    else return;
    event.preventDefault();
  }
}

function nearest(steps, value) {
  let best = 0;
  steps.forEach((step, n) => Math.abs(step - value) < Math.abs(steps[best] - value) && (best = n));
  return best;
}
