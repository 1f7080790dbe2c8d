// Which colour an item has: by the values of one column, the same on lists and on the map.

import { words } from "./text.js";

export const N_COLOURS = 8;
const HUES = [25, 250, 150, 310, 75, 200, 345, 110];
const NEUTRAL = 235; // where the others have colours that mean something

/** Colours by the most frequent words of a column.
 *  An item with several of them has the colour of the rarest, which says most about it. */
export class Words {
  constructor(column, values) {
    this.column = column;
    this.shown = values.slice(0, N_COLOURS).map(String);
    this.rank = new Map(this.shown.map((word, n) => [word.toLowerCase(), n]));
    this.entries = [...this.shown.map((label, n) => ({ label, tone: `c${n}` })), { label: "other", tone: "none" }];
  }

  /** Of which entry an item is. */
  of(item) {
    const ranks = words(item.columns?.[this.column]).map((word) => this.rank.get(word.toLowerCase()) ?? -1);
    const rarest = Math.max(-1, ...ranks);
    return rarest < 0 ? this.shown.length : rarest;
  }

  /** Whether an item has the word of an entry, whatever its colour. */
  has(item, entry) {
    const found = words(item.columns?.[this.column]).map((word) => this.rank.get(word.toLowerCase()));
    return entry < this.shown.length ? found.includes(entry) : this.of(item) === entry;
  }
}

/** Colours by a number, in five parts of equally many items. */
export class Numbers {
  constructor(column, items, read = (item) => Number(item.columns?.[column] || NaN)) {
    Object.assign(this, { column, read });
    const sorted = items.map(read).filter(Number.isFinite).sort((a, b) => a - b);
    const cuts = [0.2, 0.4, 0.6, 0.8].map((share) => sorted[Math.floor(share * sorted.length)]);
    this.cuts = [...new Set(cuts)].filter((cut) => cut > sorted[0]);
    const ends = [sorted[0], ...this.cuts, null];
    this.entries = ends.slice(0, -1).map((low, n) => ({ label: span(low, ends[n + 1], sorted.at(-1)), tone: `r${n}` }));
    this.entries.push({ label: "not known", tone: "none" });
  }

  of(item) {
    const value = this.read(item);
    return Number.isFinite(value) ? this.cuts.filter((cut) => value >= cut).length : this.entries.length - 1;
  }

  has(item, entry) {
    return this.of(item) === entry;
  }
}

function span(low, next, last) {
  if (next === null) return last > low ? `${low} to ${last}` : `${low}`;
  return Number.isInteger(low) && Number.isInteger(next) ? (next - 1 > low ? `${low} to ${next - 1}` : `${low}`) : `from ${low}`;
}

/** The hue of an item's tile: of its word, or, where no column has any, of its name. */
export function hueOf(item, palette) {
  const entry = palette?.of(item) ?? N_COLOURS;
  if (palette && entry < palette.shown.length) return HUES[entry];
  let sum = 7;
  for (const letter of item.name) sum = (sum * 31 + letter.codePointAt(0)) % 3600;
  return palette ? NEUTRAL : sum % 360;
}

/** The columns of a model that have words to colour by, most useful first. */
export function wordColumns(model) {
  return model.columns.filter((column) => column.kind === "words" && column.values.length > 1);
}
