// Lists whose rows keep their identity: what stays glides to its place, and the keyboard does not lose its own.

import { h, moves } from "./dom.js";
import { keyOf } from "./ratings.js";

/** Brings `list` to `entries`. Rows are made once an item (`make(entry)` -> an element with an `update(entry, n)`). */
export function arrange(list, entries, make) {
  const before = placesOf(list);
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const focused = [...list.children].findIndex((row) => row.contains(document.activeElement));
  const wanted = entries.map((entry, n) => {
    const key = keyOf(entry.item);
    const row = rows.get(key) ?? make(entry);
    row.dataset.key = key;
    row.update?.(entry, n);
    return row;
  });
  const kept = new Set(wanted);
  [...list.children].filter((row) => !kept.has(row)).forEach((row) => row.remove());
  wanted.forEach((row, n) => list.children[n] === row || list.insertBefore(row, list.children[n] ?? null));
  if (focused >= 0 && !list.contains(document.activeElement)) refocus(list, focused);
  if (moves() && before.size) glide(list, before);
}

function refocus(list, at) {
  const row = list.children[Math.min(at, list.children.length - 1)];
  row?.querySelector("[role=slider], .like, a, button")?.focus({ preventScroll: true });
}

function placesOf(list) {
  return new Map([...list.children].map((row) => [row, row.getBoundingClientRect()]));
}

function glide(list, before) {
  for (const row of list.children) {
    const now = row.getBoundingClientRect();
    const was = before.get(row);
    const frames = was
      ? [{ transform: `translate(${was.left - now.left}px, ${was.top - now.top}px)` }, { transform: "none" }]
      : [{ opacity: 0, transform: "translateY(8px)" }, { opacity: 1, transform: "none" }];
    if (was && was.top === now.top && was.left === now.left) continue;
    row.animate(frames, { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" });
  }
}

/** A list element with a name. */
export const listOf = (name, label) => h("ol", { class: `list ${name}`, "aria-label": label });
