// How a report written in Markdown is shown: as elements built one by one, since its text is not ours.

import { h } from "./dom.js";

const LINK = /^(https?:\/\/|mailto:|#)/i;
const INLINE = /(`[^`]+`)|(\*\*[^*]+\*\*)|(\*[^*\s][^*]*\*)|\[([^[\]]*)\]\(([^()\s]*)\)/;
// A class that is repeated twice in a row would take minutes for a long line of dashes.
const GRID = /^(?=.*-)[\s:|-]+$/;
const LINES_MAX = 20000;
const ITEM = /^(\s*)([-*+]|\d+[.)])\s+(.*)$/;
const DEPTH_MAX = 8;

export function markdown(source) {
  const lines = source.replaceAll("\r", "").split("\n").slice(0, LINES_MAX);
  const made = h("div", { class: "markdown" });
  let at = 0;
  while (at < lines.length) {
    const [node, next] = block(lines, at);
    if (node) made.append(node);
    at = next;
  }
  return made;
}

function block(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  if (line.startsWith("```")) return fence(lines, at);
  const heading = /^(#{1,6})\s+(.*)$/.exec(line);
  // The page has its own first two levels.
  if (heading) return [h(`h${Math.min(heading[1].length + 2, 6)}`, {}, inline(heading[2])), at + 1];
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) return [h("hr"), at + 1];
  if (line.includes("|") && GRID.test(lines[at + 1] || "")) return grid(lines, at);
  if (/^\s*([-*+]|\d+[.)])\s+/.test(line)) return list(lines, at);
  if (line.startsWith(">")) return run(lines, at, (one) => one.startsWith(">"), (found) =>
    h("blockquote", {}, inline(found.map((one) => one.replace(/^>\s?/, "")).join(" "))));
  return run(lines, at, (one) => one.trim() && !/^(#{1,6}\s|```|>|\s*[-*+]\s)/.test(one), (found) =>
    h("p", {}, inline(found.join(" "))));
}

function run(lines, at, holds, draw) {
  let end = at + 1;
  while (end < lines.length && holds(lines[end])) end += 1;
  return [draw(lines.slice(at, end)), end];
}

function fence(lines, at) {
  let end = at + 1;
  while (end < lines.length && !lines[end].startsWith("```")) end += 1;
  return [h("pre", { tabindex: "0" }, h("code", {}, lines.slice(at + 1, end).join("\n"))), end + 1];
}

function list(lines, at) {
  return run(lines, at, (one) => ITEM.test(one) || /^\s{2,}\S/.test(one), (found) => {
    const top = { indent: -1, inner: [] };
    const path = [top];
    for (const line of found) {
      const [, space, mark, text] = ITEM.exec(line) || [];
      if (mark === undefined) { path.at(-1).text += ` ${line.trim()}`; continue; }
      const item = { indent: space.length, isOrdered: /\d/.test(mark), text, inner: [] };
      while (path.length > 1 && (item.indent <= path.at(-1).indent || path.length > DEPTH_MAX)) path.pop();
      path.at(-1).inner.push(item);
      path.push(item);
    }
    return items(top.inner);
  });
}

function items(found) {
  return h(found[0].isOrdered ? "ol" : "ul", {}, found.map((item) => h("li", {}, inline(item.text), item.inner.length ? items(item.inner) : null)));
}

function grid(lines, at) {
  return run(lines, at, (one) => one.includes("|"), (found) => {
    const [head, , ...body] = found.map(cells);
    const rows = body.map((row) => h("tr", {}, row.map((cell) => h("td", {}, inline(cell)))));
    return h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Table of the report" },
      h("table", { class: "grid" }, h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, inline(cell))))), h("tbody", {}, rows)));
  });
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function inline(text) {
  const made = [];
  let left = text;
  for (let found = INLINE.exec(left); found; found = INLINE.exec(left)) {
    made.push(left.slice(0, found.index), piece(found));
    left = left.slice(found.index + found[0].length);
  }
  return [...made, left];
}

function piece(found) {
  const [whole, code, strong, weak, label, target] = found;
  if (code) return h("code", {}, code.slice(1, -1));
  if (strong) return h("strong", {}, inline(strong.slice(2, -2)));
  if (weak) return h("em", {}, weak.slice(1, -1));
  if (!LINK.test(target)) return whole;
  return h("a", { href: target.startsWith("#") ? null : target, rel: "noopener noreferrer" }, label || target);
}
