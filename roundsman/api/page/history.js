// Which runs there were, by agent, status, person and day; the filter stands in the address.

import { get, query } from "./api.js";
import { chip, empty, field, h, lasted, panel, table, when } from "./dom.js";

const PAGE = 25;
const STATUSES = ["", "success", "failed", "running", "cancelled"];

export function history(_id, values) {
  const offset = Math.max(0, Number(values.get("offset")) || 0);
  const given = (name) => values.get(name) || "";
  const wanted = Object.fromEntries(["agent_type", "status", "user_email", "start_date", "end_date"].map((name) => [name, given(name)]));
  const place = panel(() => get(`agents/history${query({ ...wanted, limit: PAGE, offset })}`), (found) => draw(found, wanted, offset));
  return { title: "History", nodes: [filter(wanted), place], panels: [place] };
}

function filter(wanted) {
  const input = (name, type) => h("input", { id: `by-${name}`, name, type, value: wanted[name], autocomplete: "off" });
  const status = h("select", { id: "by-status", name: "status" }, STATUSES.map((word) => h("option", { value: word, selected: word === wanted.status }, word || "any")));
  const apply = (event) => {
    event.preventDefault();
    location.hash = `#/history${query(Object.fromEntries(new FormData(form)))}`;
  };
  const form = h("form", { class: "filter", onsubmit: apply, role: "search", "aria-label": "Filter the history" },
    field("Agent", input("agent_type", "text")), field("Status", status), field("Asked by", input("user_email", "text")),
    field("From (UTC)", input("start_date", "date")), field("To (UTC)", input("end_date", "date")),
    h("p", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Apply"), h("a", { class: "button", href: "#/history" }, "Clear")));
  return form;
}

function draw(found, wanted, offset) {
  if (!found.runs.length) return empty(found.total ? "There is nothing on this page." : "No run matches.", h("a", { href: "#/history" }, "Show all"));
  const rows = found.runs.map((run) => [
    h("a", { href: `#/runs/${run.run_id}` }, run.run_id.slice(0, 8)), run.round || run.agent_type, chip(run.status), chip(run.verdict), when(run.started_at || run.created_at), lasted(run.duration_seconds), run.user_email || run.asked_by?.name || run.asked_by?.kind || "–", run.dry_run ? "dry run" : "live",
  ]);
  const link = (to, word) => h("a", { class: "button", href: `#/history${query({ ...wanted, offset: to || "" })}` }, word);
  const last = Math.min(offset + PAGE, found.total);
  return [
    table("Runs, the newest first", ["Run", "Round", "Status", "Verdict", "Began", "Took", "Asked by", "Kind"], rows),
    h("nav", { class: "pages", "aria-label": "Pages" }, offset > 0 ? link(Math.max(0, offset - PAGE), "Newer") : null,
      h("span", {}, `${offset + 1} to ${last} of ${found.total}`), last < found.total ? link(offset + PAGE, "Older") : null),
  ];
}
