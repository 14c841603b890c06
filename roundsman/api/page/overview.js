// What is going on: what runs now, what waits for somebody, and how each round went last.

import { get } from "./api.js";
import { chip, empty, h, lasted, panel, table, when } from "./dom.js";
import { drawSwitch, readSwitch } from "./switch.js";

export function overview() {
  const running = panel(() => get("agents/history?status=running&limit=50"), drawRunning);
  const waiting = panel(readWaiting, drawWaiting);
  const rounds = panel(() => get("rounds"), drawRounds);
  const switched = panel(readSwitch, drawSwitch);
  const part = (name, one) => h("section", { "aria-label": name }, h("h2", {}, name), one);
  const parts = [waiting, part("Running now", running), part("Rounds", rounds), part("Actions", switched)];
  return { title: "Overview", nodes: parts, panels: [running, waiting, rounds, switched] };
}

async function readWaiting() {
  const [approvals, findings] = await Promise.all([get("approvals?limit=200"), get("findings?state=open&limit=200")]);
  return { approvals: approvals.approvals.length, findings: findings.findings.length };
}

function drawWaiting(found) {
  return h("ul", { class: "tiles" },
    h("li", { class: found.approvals ? "warn" : "" }, h("a", { href: "#/approvals" }, h("strong", {}, String(found.approvals)), " waiting for an answer")),
    h("li", { class: found.findings ? "warn" : "" }, h("a", { href: "#/findings" }, h("strong", {}, String(found.findings)), " open findings")));
}

function drawRunning(found) {
  if (!found.runs.length) return empty("Nothing runs at this moment.", h("a", { href: "#/start" }, "Start a run"));
  return table("Runs that are at work", ["Run", "Status", "Began", "Kind"], found.runs.map((run) => [
    h("a", { href: `#/runs/${run.run_id}` }, run.round || run.agent_type), chip(run.status), when(run.started_at || run.created_at), run.dry_run ? "dry run" : "live",
  ]));
}

function drawRounds(found) {
  if (!found.rounds.length) return empty("No round is written down yet; they stand in prefect.yaml.");
  return table("Rounds, how each went last and when it starts next", ["Round", "Last run", "Verdict", "When", "Next start", ""], found.rounds.map(row));
}

function row(one) {
  const last = one.last_run;
  const seconds = last?.completed_at ? (Date.parse(last.completed_at) - Date.parse(last.created_at)) / 1000 : null;
  const crons = one.schedules.map((schedule) => schedule.cron).filter(Boolean).join(", ");
  return [
    h("div", {}, h("strong", {}, one.name), h("div", { class: "quiet" }, one.description)),
    last ? h("a", { href: `#/runs/${last.run_id}` }, chip(last.status)) : h("span", { class: "quiet" }, "never ran"),
    last ? chip(last.verdict) : "–",
    last ? h("span", { title: seconds === null ? null : `took ${lasted(seconds)}` }, when(last.completed_at || last.created_at)) : "–",
    one.next_start ? h("span", {}, when(one.next_start), h("div", { class: "quiet" }, crons)) : h("span", { class: "quiet" }, one.schedules.length ? "by a schedule of Prefect" : "by hand"),
    h("a", { class: "button", href: `#/start?round=${encodeURIComponent(one.name)}`, "aria-label": `Start ${one.name}` }, "Start"),
  ];
}
