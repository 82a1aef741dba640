// Draws the last 15 minutes. Knows nothing of the dispatcher: it is given points and names.

import { count, draw, make, short } from "/page/parts.js";

const MINUTES = 15;
const HEIGHT = 150;
const TOP = 14;
const BOTTOM = 20;
const LEFT = 46;

/** A frame with its scales; `width` in pixels of the drawing. */
function frame(width, top, nowMs) {
  const right = width - 6;
  const x = (ms) => right - ((nowMs - ms) / (MINUTES * 60_000)) * (right - LEFT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const lines = [0, 0.5, 1].map((part) => [
    draw("line", { class: "grid", x1: LEFT, x2: right, y1: y(top * part), y2: y(top * part) }),
    draw("text", { x: LEFT - 6, y: y(top * part) + 4, "text-anchor": "end" }, short(top * part)),
  ]);
  const times = [15, 10, 5, 0].map((minutes) => draw(
    "text",
    { x: x(nowMs - minutes * 60_000), y: HEIGHT - 4, "text-anchor": minutes === 15 ? "start" : minutes === 0 ? "end" : "middle" },
    minutes === 0 ? "now" : `−${minutes} min`,
  ));
  return { x, y, parts: [lines, times].flat(2) };
}

/** A number at which an axis ends well: 1, 2 or 5 times a power of ten, and even. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 2)));
  return [1, 2, 4, 6, 8, 10].map((each) => each * power).find((each) => each >= value);
}

function widthOf(place) {
  return Math.max(260, Math.round(place.clientWidth || 600));
}

function show(place, title, note, said, width, parts, key = null) {
  const image = draw(
    "svg",
    { class: "plot", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${said}` },
    parts,
  );
  const caption = make("figcaption", {}, title, make("span", {}, ` ${note}`));
  place.replaceChildren(...[caption, image, key].filter((each) => each !== null));
}

/** Pieces of a line: a gap where a value is not known, or samples are missing. */
function pieces(points, gapMs) {
  const found = [];
  let last = null;
  for (const point of points) {
    if (point.value === null) { last = null; continue; }
    if (last === null || point.ms - last.ms > gapMs) found.push([]);
    found.at(-1).push(point);
    last = point;
  }
  return found;
}

/** A line with its area, and a dashed one for the limit; points are {ms, value, limit}. */
export function plotLine(place, title, note, points, nowMs, stepMs) {
  const width = widthOf(place);
  const known = points.filter((point) => point.value !== null);
  const highest = Math.max(1, ...known.map((point) => Math.max(point.value, point.limit ?? 0)));
  const { x, y, parts } = frame(width, ceiling(highest), nowMs);
  const path = (piece, of) => piece
    .map((point, at) => `${at ? "L" : "M"}${x(point.ms).toFixed(1)} ${y(of(point)).toFixed(1)}`).join("");
  for (const piece of pieces(points, stepMs * 3)) {
    const floor = `L${x(piece.at(-1).ms).toFixed(1)} ${y(0)}L${x(piece[0].ms).toFixed(1)} ${y(0)}Z`;
    parts.push(draw("path", { class: "area", d: path(piece, (point) => point.value) + floor }));
    parts.push(draw("path", { class: "line", d: path(piece, (point) => point.value) }));
    if (piece[0].limit !== undefined) {
      parts.push(draw("path", { class: "limit", d: path(piece, (point) => point.limit) }));
    }
  }
  const last = known.at(-1);
  const said = last === undefined ? "nothing yet"
    : `${count(last.value)} now, ${count(Math.max(...known.map((point) => point.value)))} at most`;
  show(place, title, note, said, width, parts);
}

/** Stacked bars, half a minute each; a sample is {ms, counts}. */
export function plotBars(place, title, note, samples, nowMs, names) {
  const width = widthOf(place);
  const barMs = 30_000;
  const bars = new Map();
  const totals = new Map();
  for (const { ms, counts } of samples) {
    const begin = Math.floor((ms - 1) / barMs) * barMs;
    const bar = bars.get(begin) ?? new Map();
    for (const [name, number] of Object.entries(counts)) {
      bar.set(name, (bar.get(name) ?? 0) + number);
      totals.set(name, (totals.get(name) ?? 0) + number);
    }
    if (bar.size) bars.set(begin, bar);
  }
  const sum = (bar) => [...bar.values()].reduce((all, each) => all + each, 0);
  const top = ceiling(Math.max(1, ...[...bars.values()].map(sum)));
  const { x, y, parts } = frame(width, top, nowMs);
  for (const [begin, bar] of bars) {
    let base = 0;
    const left = Math.max(LEFT, x(begin));
    const right = Math.min(x(nowMs), x(begin + barMs)) - 1;
    for (const name of names.filter((each) => bar.has(each))) {
      const height = y(base) - y(base + bar.get(name));
      base += bar.get(name);
      parts.push(draw("rect", {
        class: `s${names.indexOf(name)}`, x: left, width: Math.max(1, right - left), y: y(base), height,
      }));
    }
  }
  const present = names.filter((name) => totals.has(name));
  const key = make("ul", { class: "key" }, present.map((name) => make(
    "li", {},
    draw("svg", { viewBox: "0 0 8 8", "aria-hidden": "true" },
      draw("rect", { class: `s${names.indexOf(name)}`, width: 8, height: 8 })),
    `${name} ${count(totals.get(name))}`,
  )));
  const said = present.map((name) => `${name} ${count(totals.get(name))}`).join(", ") || "none";
  show(place, title, note, said, width, parts, present.length ? key : null);
}
