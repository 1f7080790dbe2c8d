// What is seen while there is nothing to see yet: loading, emptiness, failures.

import { announce, h, icon } from "./dom.js";

/** Grey rows in the place of what is coming. */
export function skeleton(rows, kind = "row") {
  const row = () => h("div", { class: `ghost ghost-${kind}` }, h("i"), h("i"), h("i"));
  return h("div", { class: "ghosts", role: "status", "aria-label": "Loading" }, ...Array.from({ length: rows }, row));
}

/** A quiet sentence where something will be. */
export function emptiness(title, text, ...more) {
  return h("div", { class: "state" }, h("p", { class: "state-title" }, title), h("p", {}, text), ...more);
}

/** A failure with its remedy and a button; where waiting helps, it asks again by itself and counts down. */
export function failed(failure, retry, attempt = 0) {
  const passes = failure.passes ?? false;
  const again = h("button", { class: "button", type: "button" }, icon("again"), h("span", {}, "Try again"));
  const panel = h(
    "div", { class: "state state-failed", role: "group", "aria-label": "Something is missing" },
    icon(failure.status === 401 ? "key" : "away"),
    h("p", { class: "state-title" }, titleOf(failure)),
    failure.hint ? h("p", {}, failure.hint) : null, again,
  );
  const clock = passes ? countDown(panel, again, retry, failure.wait ?? Math.min(30, 2 ** (attempt + 1))) : null;
  again.addEventListener("click", () => (clearInterval(clock), retry()));
  announce(titleOf(failure));
  return panel;
}

function countDown(panel, again, retry, seconds) {
  let left = Math.max(1, Math.ceil(seconds));
  const note = h("p", { class: "faint" });
  const say = () => (note.textContent = `Trying again in ${left} s.`);
  panel.append(note);
  say();
  const clock = setInterval(() => {
    if (!panel.isConnected) return clearInterval(clock);
    left -= 1;
    say();
    if (left <= 0) clearInterval(clock), retry();
  }, 1000);
  return clock;
}

function titleOf(failure) {
  if (failure.status === 429) return "That was too many questions at once.";
  if (failure.status === 503) return "The server is busy.";
  if (failure.status === undefined) return "Something went wrong on this page.";
  return failure.message;
}

/** Shows in `box` what `load` resolves to; a skeleton before, the failure with its retry when it comes to that.
 *  A later call on the same box takes its place. */
export async function fill(box, load, ghosts = skeleton(4), attempt = 0) {
  const turn = (box.turn = (box.turn ?? 0) + 1);
  if (!box.hasChildNodes() || attempt === 0) box.replaceChildren(ghosts);
  box.setAttribute("aria-busy", "true");
  try {
    const content = await load();
    if (box.turn === turn) box.replaceChildren(...[content].flat());
  } catch (failure) {
    if (failure.name === "AbortError" || box.turn !== turn) return;
    if (failure.status === undefined) console.error(failure);
    box.replaceChildren(failed(failure, () => fill(box, load, ghosts, attempt + 1), attempt));
  } finally {
    if (box.turn === turn) box.removeAttribute("aria-busy");
  }
}
