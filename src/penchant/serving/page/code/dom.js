// Elements from names, attributes and children. Text is only ever text: names of items are never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes: `on…` are listeners, `style` sets custom properties, false and null are left out. */
export function h(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** An SVG element, in the same way. */
export function s(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** An icon of icons.svg; words beside it or a label around it say what it means. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `page/icons.svg#${name}` }));
}

/** Says something to those who hear the page. */
export function announce(text) {
  const live = document.getElementById("live");
  live.textContent = "";
  setTimeout(() => (live.textContent = text), 50); // the same words twice are said twice
}

/** Whether movement is wished. */
export function moves() {
  return !matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** A short message that goes away by itself, with something to press. */
export function toast(text, action, press) {
  const box = document.getElementById("toasts");
  const note = h("div", { class: "toast" }, h("span", {}, text));
  const gone = () => note.remove();
  if (action) note.append(h("button", { class: "link", type: "button", onclick: () => (gone(), press()) }, action));
  box.replaceChildren(note);
  setTimeout(gone, 6000);
}

/** Calls `work` once nothing has asked for it for some milliseconds. */
export function later(work, wait) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}
