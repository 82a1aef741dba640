// Builds what the page shows. Knows nothing of where values come from: all of them are hostile, so
// they become text nodes and attributes, and never markup.

const SVG = "http://www.w3.org/2000/svg";
const SHOWN_MAX = 240;

/** An element with attributes and children; strings become text. */
export function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for a drawing. */
export function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text from outside: kept apart from the direction of what stands round it, and cut if long. */
export function foreign(value) {
  const text = typeof value === "string" ? value : value === null || value === undefined ? ""
    : JSON.stringify(value);
  const letters = Array.from(text);
  if (letters.length <= SHOWN_MAX) return make("bdi", {}, text);
  const cut = letters.slice(0, SHOWN_MAX).join("");
  return make("span", {}, make("bdi", {}, cut), ` … (${count(letters.length)} characters)`);
}

/** A table; a column is [title, class], a row a list of texts and elements, the first its name. */
export function table(caption, columns, rows, kind = "cards") {
  const cell = (value, at) => make(
    at === 0 ? "th" : "td",
    { class: columns[at][1] ?? null, "data-name": columns[at][0], scope: at === 0 ? "row" : null },
    value instanceof Node ? value : make("span", {}, String(value)),
  );
  const head = columns.map(([title, kind]) => make("th", { scope: "col", class: kind ?? null }, title));
  return make(
    "table", { class: kind, "aria-label": caption },
    make("thead", {}, make("tr", {}, head)),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map(cell)))),
  );
}

/** A button that acts. */
export function button(text, act, kind = "plain", label = null) {
  const made = make("button", { type: "button", class: kind, "aria-label": label }, text);
  made.addEventListener("click", act);
  return made;
}

export const count = (number) => Math.round(number).toLocaleString("en");

/** A large number in little room, for an axis. */
export function short(number) {
  if (number >= 1e6) return `${+(number / 1e6).toFixed(1)}M`;
  return number >= 1e4 ? `${+(number / 1e3).toFixed(1)}k` : count(number);
}

/** Seconds as people say them. */
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${+(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** A moment as logs say it, and how long ago that is. */
export function moment(text, nowMs) {
  const shown = `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`;
  return `${shown} (${span(Math.max(0, (nowMs - Date.parse(text)) / 1000))} ago)`;
}

/** Puts new children in place, and keeps the focus on the button or field of the same name. */
export function renew(place, ...children) {
  const name = place.contains(document.activeElement)
    ? document.activeElement.getAttribute("aria-label") : null;
  place.replaceChildren(...children.flat().filter((child) => child !== null));
  if (name === null) return;
  const again = [...place.querySelectorAll("[aria-label]")]
    .find((each) => each.getAttribute("aria-label") === name);
  (again ?? place).focus();
}
