// What this visitor has rated, kept in this browser only.

const PREFIX = "penchant.ratings:";

/** Which ratings a scale has, lowest first; null of a model that takes likes. */
export function stepsOf(scale) {
  if (!scale) return null;
  const [low, high] = scale;
  const fraction = low - Math.floor(low);
  const step = fraction > 0 ? fraction : high - low <= 10 ? 1 : (high - low) / 10;
  return Array.from({ length: Math.round((high - low) / step) + 1 }, (_, n) => low + n * step);
}

/** Ratings by item, newest first; every change is written down and told as "change".
 *  Those of another scale are kept apart, since a 5 of 5 is no 5 of 10. */
export class Ratings extends EventTarget {
  constructor(scale) {
    super();
    this.name = PREFIX + (scale ? scale.join("-") : "likes");
    this.strangers = new Set(); // of items that the model does not know
    this.kept = true;
    this.read();
    addEventListener("storage", (event) => {
      if (event.key === this.name || event.key === null) this.read(), this.tell(null);
    });
  }

  get all() {
    return [...this.entries.values()];
  }

  get known() {
    return this.all.filter((entry) => !this.strangers.has(keyOf(entry.item)));
  }

  get size() {
    return this.entries.size;
  }

  of(item) {
    return this.entries.get(keyOf(item)) ?? null;
  }

  /** Rates; `rating` is null for "I like it". */
  rate({ item, name, columns }, rating) {
    this.entries.delete(keyOf(item));
    const entry = { item, name, columns: columns ?? {}, rating };
    this.entries = new Map([[keyOf(item), entry], ...this.entries]);
    this.write();
    this.tell(item);
  }

  remove(item) {
    if (!this.entries.delete(keyOf(item))) return;
    this.write();
    this.tell(item);
  }

  /** Removes everything, whatever the scale. */
  forget() {
    this.entries = new Map();
    this.strangers.clear();
    try {
      Object.keys(localStorage).filter((name) => name.startsWith(PREFIX)).forEach((name) => localStorage.removeItem(name));
    } catch {
      // Nothing was kept.
    }
    this.tell(null);
  }

  /** As the service takes a history. */
  history() {
    return this.known.map(({ item, rating }) => (rating === null ? { item } : { item, rating }));
  }

  read() {
    this.entries = new Map();
    try {
      const kept = JSON.parse(localStorage.getItem(this.name) ?? "[]");
      for (const entry of kept) if (fits(entry)) this.entries.set(keyOf(entry.item), entry);
    } catch {
      this.kept = false; // the browser keeps nothing, or what it kept is no list
    }
  }

  write() {
    try {
      localStorage.setItem(this.name, JSON.stringify(this.all));
      this.kept = true;
    } catch {
      this.kept = false;
    }
  }

  tell(item) {
    this.dispatchEvent(new CustomEvent("change", { detail: { item } }));
  }
}

/** An id as a key: 1984 and "1984" are two items. */
export const keyOf = (item) => JSON.stringify(item);

function fits(entry) {
  const isRating = entry?.rating === null || Number.isFinite(entry?.rating);
  return ["string", "number"].includes(typeof entry?.item) && typeof entry.name === "string" && isRating;
}
