// How things are drawn: elements are built, text is only ever text, and no string becomes HTML.

const SVG = "http://www.w3.org/2000/svg";

// Letters that turn the reading direction round or are seen by nobody: what is approved, and by
// whom it was asked for, must not look like something else. They are shown as JSON writes them.
const UNSEEN = /[\u0080-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]|[\u{e0000}-\u{e007f}]/gu;

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  const given = children.flat(Infinity).filter((child) => child !== null && child !== undefined);
  element.append(...given.map((child) => (child instanceof Node ? child : plain(String(child)))));
  return element;
}

function plain(text) {
  return text.replace(UNSEEN, (letter) => letter.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""));
}

// Local time to read, UTC in the title to compare with logs.
export function when(text) {
  if (!text) return h("span", { class: "quiet" }, "–");
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return h("span", {}, String(text));
  const isToday = at.toDateString() === new Date().toDateString();
  const day = { year: "numeric", month: "short", day: "numeric" };
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  const told = isToday ? at.toLocaleTimeString([], clock) : at.toLocaleString([], { ...day, ...clock });
  return h("time", { datetime: text, title: at.toISOString().replace("T", " ").replace("Z", " UTC") }, told);
}

export function lasted(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

// Never by colour alone: the mark in front says the same.
const MARKS = {
  success: "✓", healthy: "✓", done: "✓", resolved: "✓",
  failed: "✕", crashed: "✕", timed_out: "✕", refused: "✕", denied: "✕", high: "▲", critical: "▲",
  running: "●", queued: "○", waiting: "○", attempting: "●", allowed: "●",
  degraded: "!", medium: "!", open: "!", expired: "–", cancelled: "–", skipped: "–", unknown: "?",
  undoable: "○", undone: "✓", not_kept: "–",
};
const KINDS = {
  success: "good", healthy: "good", done: "good", resolved: "good",
  failed: "bad", crashed: "bad", timed_out: "bad", refused: "bad", denied: "bad",
  high: "bad", critical: "bad",
  degraded: "warn", medium: "warn", open: "warn", waiting: "warn",
  running: "busy", queued: "busy", attempting: "busy", allowed: "busy",
};

export function chip(word) {
  if (!word) return h("span", { class: "quiet" }, "–");
  const mark = h("span", { "aria-hidden": "true" }, MARKS[word] || "·");
  return h("span", { class: `chip ${KINDS[word] || "plain"}` }, mark, " ", word.replaceAll("_", " "));
}

export function pretty(value) {
  return h("pre", { class: "json", tabindex: "0" }, JSON.stringify(value, null, 2));
}

// A table is a list of cards on a phone: each cell repeats the name of its column.
export function table(caption, columns, rows) {
  const head = columns.map((name) => h("th", { scope: "col" }, name));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell, n) => h("td", { "data-name": columns[n] }, cell))));
  return h("table", {}, h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
}

export function empty(said, ...more) {
  return h("p", { class: "empty" }, said, " ", ...more);
}

// A part of a view that reads, draws, and reads again when something happened. What did not change
// is not drawn again, so that nobody loses the place where he reads or types.
export function panel(read, draw) {
  const place = h("div", { class: "panel", "aria-busy": "true" }, h("p", { class: "quiet" }, "Loading …"));
  let last = null;
  place.refresh = async () => {
    try {
      const found = await read();
      const told = JSON.stringify(found);
      if (told !== last) swap(place, draw(found));
      last = told;
    } catch (error) {
      last = null;
      if (error.status === 401) { window.dispatchEvent(new Event("locked")); return; }
      swap(place, failure(error, place.refresh));
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  return place;
}

function swap(place, nodes) {
  const held = document.activeElement && place.contains(document.activeElement) ? document.activeElement.id : "";
  const opened = new Set([...place.querySelectorAll("details[open][id]")].map((one) => one.id));
  place.replaceChildren(...[nodes].flat(Infinity).filter(Boolean));
  for (const one of place.querySelectorAll("details[id]")) if (opened.has(one.id)) one.open = true;
  if (held) document.getElementById(held)?.focus();
}

export function failure(error, again) {
  const retry = again && h("button", { type: "button", onclick: again }, "Try again");
  return h("div", { class: "failure", role: "alert" }, h("p", {}, h("strong", {}, "This could not be read. "), error.message), retry);
}

// A question in a dialog; gives the values of its fields, or null where it was left.
export function ask(title, fields, yes, isGrave = false) {
  return new Promise((answer) => {
    const cancel = h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel");
    const go = h("button", { type: "submit", class: isGrave ? "grave" : "main", id: "dialog-yes" }, yes);
    const form = h("form", { method: "dialog" }, h("h2", { id: "dialog-title" }, title), fields, h("p", { class: "actions" }, cancel, go));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    const before = document.activeElement?.id;
    form.addEventListener("submit", (event) => { event.preventDefault(); dialog.close("yes"); });
    dialog.addEventListener("close", () => {
      const values = Object.fromEntries(new FormData(form));
      dialog.remove();
      if (before) document.getElementById(before)?.focus();
      answer(dialog.returnValue === "yes" ? values : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function field(label, input, hint) {
  const told = hint && h("span", { class: "hint", id: `${input.id}-hint` }, hint);
  if (told) input.setAttribute("aria-describedby", told.id);
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input, told);
}

export function announce(text) {
  document.getElementById("said").textContent = text;
}
