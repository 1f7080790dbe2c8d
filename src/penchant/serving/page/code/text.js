// Numbers, names and counts as people read them.

const WHOLE = new Intl.NumberFormat("en");

/** 1234567 -> "1,234,567". */
export const count = (number) => WHOLE.format(number);

/** 3.14159, 2 -> "3.14". */
export const fixed = (number, digits = 2) => (Number.isFinite(number) ? number.toFixed(digits) : "–");

/** A rating: 4.5 -> "4.5", 4 -> "4". */
export const rating = (number) => String(Math.round(number * 100) / 100);

/** +0.42 or −0.42, with a true minus. */
export const signed = (number, digits = 2) => (number < 0 ? "−" : "+") + fixed(Math.abs(number), digits);

/** 0.9 -> "90 %". */
export const percent = (share, digits = 0) => `${(share * 100).toFixed(digits)} %`;

/** 1, "rating" -> "1 rating"; 2 -> "2 ratings". */
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** "Heat (1995)" -> ["Heat", "1995"]: a year in brackets is set apart, as many catalogues write it. */
export function parts(name) {
  const found = /^(.*\S)\s+\((\d{4})\)$/.exec(name);
  return found ? [found[1], found[2]] : [name, null];
}

/** The letter that stands for a name: its first letter or digit. */
export const initial = (name) => (/[\p{L}\p{N}]/u.exec(name)?.[0] ?? "•").toUpperCase();

/** "Action|Drama" -> ["Action", "Drama"]: a column may hold several words, as filters take it. */
export function words(value) {
  if (value == null || value === "") return [];
  return String(value).split("|").map((word) => word.trim()).filter(Boolean);
}

/** Without accents and case, for searching among what is already here. */
export const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
