// The map as it is drawn: a camera over points, dots that have colours, names where there is room.

import { h, moves } from "./dom.js";
import { parts } from "./text.js";

const MARGIN = 36; // pixels around the points when all are seen
const MOST_NAMES = 40;
const REACH = 14; // pixels from a dot at which it is meant
const GLIDE = 280; // milliseconds
const WORN = ["ink", "surface", "star", "none", ..."01234567".split("").map((n) => `c${n}`), ..."01234".split("").map((n) => `r${n}`)];

/** Draws `points` ({x, y, item, name, ratings, tone}) on a canvas.
 *
 *  `marks`: which points are told apart: {rated, found, faded: Set of points; chosen: point}. */
export class Canvas {
  constructor(canvas, points, seen) {
    Object.assign(this, { canvas, points, seen, marks: { rated: new Set(), found: null, faded: null, chosen: null } });
    this.most = Math.max(1, ...points.map((point) => point.ratings));
    this.byRatings = [...points].sort((a, b) => b.ratings - a.ratings);
    this.painter = canvas.getContext("2d");
    this.camera = null;
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(canvas);
  }

  end() {
    this.watcher.disconnect();
    cancelAnimationFrame(this.frame);
  }

  // --- where things are

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    Object.assign(this, { width, height, ratio });
    if (!this.camera) this.camera = this.whole();
    this.draw();
  }

  /** The camera that sees nearly all: the outermost hundredth may lie outside. */
  whole() {
    const [left, right] = ends(this.points.map((point) => point.x));
    const [low, high] = ends(this.points.map((point) => point.y));
    const zoom = Math.min((this.width - 2 * MARGIN) / (right - left), (this.height - 2 * MARGIN) / (high - low));
    this.base = zoom;
    return { x: (left + right) / 2, y: (low + high) / 2, zoom };
  }

  placeOf({ x, y }) {
    const { camera } = this;
    return [this.width / 2 + (x - camera.x) * camera.zoom, this.height / 2 - (y - camera.y) * camera.zoom];
  }

  get closeness() {
    return this.camera.zoom / this.base;
  }

  radius(point) {
    return (1.8 + 4.2 * Math.sqrt(point.ratings / this.most)) * Math.min(2.4, this.closeness ** 0.35);
  }

  /** The point at a place of the canvas, or null. */
  at(left, top) {
    let best = null;
    let least = REACH;
    for (const point of this.points) {
      if (this.marks.faded?.has(point)) continue;
      const [x, y] = this.placeOf(point);
      const far = Math.hypot(x - left, y - top) - this.radius(point) / 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  }

  /** The nearest point from another in a direction (dx, dy of the screen), within a quarter around it. */
  toward(from, dx, dy) {
    const [left, top] = from ? this.placeOf(from) : [this.width / 2, this.height / 2];
    let best = null;
    let least = Infinity;
    for (const point of this.points) {
      if (point === from || this.marks.faded?.has(point)) continue;
      const [x, y] = this.placeOf(point);
      const along = (x - left) * dx + (y - top) * dy;
      const aside = Math.abs((x - left) * dy - (y - top) * dx);
      const far = along + 2 * aside;
      if (along > 2 && aside <= along && far < least) [best, least] = [point, far];
    }
    return best;
  }

  inView() {
    return this.byRatings.filter((point) => {
      const [x, y] = this.placeOf(point);
      return x >= 0 && y >= 0 && x <= this.width && y <= this.height && !this.marks.faded?.has(point);
    });
  }

  // --- the camera

  pan(dx, dy) {
    this.camera.x -= dx / this.camera.zoom;
    this.camera.y += dy / this.camera.zoom;
    this.draw();
  }

  /** Nearer by a factor, keeping the place (left, top) of the canvas where it is. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const { camera } = this;
    const zoom = Math.min(this.base * 60, Math.max(this.base * 0.7, camera.zoom * factor));
    camera.x += (left - this.width / 2) * (1 / camera.zoom - 1 / zoom);
    camera.y -= (top - this.height / 2) * (1 / camera.zoom - 1 / zoom);
    camera.zoom = zoom;
    this.draw();
  }

  /** Glides, or jumps where movement is not wished. */
  fly(to) {
    const from = { ...this.camera };
    const began = performance.now();
    const wanted = { ...from, ...to };
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const step = (now) => {
      if (turn !== this.turn) return;
      const share = moves() ? Math.min(1, Math.max(0, (now - began) / GLIDE)) : 1;
      const eased = 1 - (1 - share) ** 3;
      this.camera.x = from.x + (wanted.x - from.x) * eased;
      this.camera.y = from.y + (wanted.y - from.y) * eased;
      this.camera.zoom = from.zoom * (wanted.zoom / from.zoom) ** eased;
      this.draw();
      if (share < 1) requestAnimationFrame(step);
    };
    step(began);
  }

  /** Brings a point into sight, well inside the canvas. */
  show(point) {
    const [x, y] = this.placeOf(point);
    if (x < MARGIN || y < MARGIN || x > this.width - MARGIN || y > this.height - MARGIN) this.fly({ x: point.x, y: point.y });
  }

  // --- drawing

  draw() {
    if (this.frame || !this.camera) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.paint();
      this.seen();
    });
  }

  paint() {
    const { painter } = this;
    painter.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    painter.clearRect(0, 0, this.width, this.height);
    const colours = coloursOf(this.canvas);
    for (const point of this.points) this.dot(point, colours);
    for (const point of this.marks.rated) this.ring(point, colours.star, 2.5);
    if (this.marks.chosen) this.ring(this.marks.chosen, colours.ink, 2);
    this.names(colours);
  }

  dot(point, colours) {
    const [x, y] = this.placeOf(point);
    if (x < -10 || y < -10 || x > this.width + 10 || y > this.height + 10) return;
    const { found, faded } = this.marks;
    const dim = (found && !found.has(point)) || faded?.has(point);
    this.painter.globalAlpha = dim ? 0.12 : 0.75;
    this.painter.fillStyle = colours[point.tone];
    this.painter.beginPath();
    this.painter.arc(x, y, this.radius(point) * (found?.has(point) ? 1.5 : 1), 0, 2 * Math.PI);
    this.painter.fill();
    this.painter.globalAlpha = 1;
  }

  ring(point, colour, width) {
    const [x, y] = this.placeOf(point);
    this.painter.lineWidth = width;
    this.painter.strokeStyle = colour;
    this.painter.beginPath();
    this.painter.arc(x, y, this.radius(point) + 3, 0, 2 * Math.PI);
    this.painter.stroke();
  }

  /** Names of those most rated, none over another; those chosen, found and rated before all. */
  names(colours) {
    const { chosen, found, rated, faded } = this.marks;
    const first = [chosen, ...(found ?? []), ...rated].filter(Boolean);
    const others = found ? [] : this.byRatings.filter((point) => !faded?.has(point));
    const taken = this.covered();
    const most = taken.length + MOST_NAMES;
    this.painter.font = `500 12px ${getComputedStyle(this.canvas).fontFamily}`;
    this.painter.textBaseline = "middle";
    for (const point of new Set([...first, ...others])) {
      if (taken.length >= most) break;
      this.name(point, taken, colours, point === chosen);
    }
  }

  /** What lies over the map: buttons, and the card of an item. */
  covered() {
    const over = [...this.canvas.parentElement.children].filter((one) => one !== this.canvas && !one.hidden && !one.classList.contains("unseen"));
    return over.map((one) => [one.offsetLeft, one.offsetTop, one.offsetLeft + one.offsetWidth, one.offsetTop + one.offsetHeight]);
  }

  name(point, taken, colours, isChosen) {
    const [x, y] = this.placeOf(point);
    const [title] = parts(point.name);
    const text = title.length > 28 ? `${title.slice(0, 27)}…` : title;
    const width = this.painter.measureText(text).width;
    const left = x + this.radius(point) + 5;
    const box = [left - 4, y - 9, left + width + 4, y + 9];
    const outside = box[0] < 0 || box[1] < 0 || box[2] > this.width || box[3] > this.height;
    if (outside || (!isChosen && taken.some((other) => overlap(box, other)))) return;
    taken.push(box);
    this.painter.lineWidth = 4.5;
    this.painter.lineJoin = "round";
    this.painter.strokeStyle = colours.surface;
    this.painter.strokeText(text, left, y);
    this.painter.fillStyle = colours.ink;
    this.painter.fillText(text, left, y);
  }
}

const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

function ends(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const [low, high] = [at(0.005), at(0.995)];
  return high > low ? [low, high] : [low - 1, high + 1];
}

/** The colours of the theme, read from an element that wears each in turn: a canvas knows no variables of CSS. */
function coloursOf(canvas) {
  const probe = canvas.parentElement.appendChild(h("i", { hidden: true }));
  const wear = (name) => (probe.style.setProperty("color", `var(--${name})`), [name, getComputedStyle(probe).color]);
  const colours = Object.fromEntries(WORN.map(wear));
  probe.remove();
  return colours;
}
