// One run: what it found and why, what it did when, and what it left behind.

import { get, may, post, session } from "./api.js";
import { artifacts } from "./artifacts.js";
import { announce, ask, chip, empty, h, lasted, panel, pretty, table, when } from "./dom.js";
import { timeline } from "./timeline.js";
import { readUndo, undoing } from "./undo.js";

const PAGES_MAX = 20;
// A run that was just ordered takes a moment until it stands in the ledger.
const AGAIN_MS = 1000;
const AGAIN_MAX = 30;

export function run(id) {
  let looks = 0;
  const read = () => readRun(id).catch((error) => {
    if (error.status !== 404) throw error;
    looks += 1;
    if (looks < AGAIN_MAX) setTimeout(() => place.isConnected && place.refresh(), AGAIN_MS);
    return { missing: error.message, isSought: looks < AGAIN_MAX };
  });
  const place = panel(read, (found) => (found.missing ? missing(found) : drawRun(found)));
  return { title: `Run ${id.slice(0, 8)}`, nodes: [place], panels: [place], only: id };
}

async function readRun(id) {
  const path = `agents/runs/${encodeURIComponent(id)}`;
  const [told, first] = await Promise.all([get(path), get(`${path}/timeline`)]);
  let after = first.next_after;
  for (let page = 1; after !== null && page < PAGES_MAX; page += 1) {
    const more = await get(`${path}/timeline?after=${after}`);
    first.events.push(...more.events);
    after = more.next_after;
  }
  return { run: told, steps: first.steps, events: first.events, isCut: after !== null, undo: await readUndo(told) };
}

function missing(found) {
  const said = found.isSought ? "If it was started just now it appears here by itself." : "It was looked for again and again.";
  return empty(`${found.missing}. ${said}`, h("a", { href: "#/history" }, "See the history"));
}

function drawRun(found) {
  const { run: told, steps, events } = found;
  return [
    head(told),
    told.error ? problem(told.error) : null,
    section("Why", reasons(told)),
    undoing(told, found.undo),
    section("Timeline", timeline(told, steps, events)),
    section("Files", artifacts(told, events)),
    fold("Steps", `${steps.length}`, stepTable(steps)),
    fold("Events", `${events.length}${found.isCut ? " and more" : ""}`, eventTable(events)),
    fold("Parameters", "", pretty(told.params)),
    fold("What it found, as data", "", pretty(told.artifacts || {})),
  ];
}

function section(name, ...nodes) {
  return h("section", { "aria-label": name }, h("h2", {}, name), nodes);
}

function fold(name, count, node) {
  const id = `fold-${name.replaceAll(/\W/g, "-")}`;
  return h("details", { id }, h("summary", {}, name, " ", h("span", { class: "quiet" }, count)), node);
}

function head(told) {
  const isOpen = told.status === "running";
  const facts = [
    ["Asked by", `${told.asked_by?.name || told.asked_by?.kind || "nobody"}`], ["Kind", told.dry_run ? "dry run" : "live"],
    ["Began", when(told.started_at)], ["Ended", when(told.completed_at)], ["Took", lasted(told.duration_seconds)],
    ["Operations", String(told.ops_count ?? "–")], ["Attempt", String(told.attempt)], ["Code", told.code_version],
    told.parent_run_id ? ["Follows", h("a", { href: `#/runs/${told.parent_run_id}` }, told.parent_run_id.slice(0, 8))] : null,
    told.action_id ? ["Approved action", h("a", { href: `#/approvals?action=${told.action_id}` }, told.action_id.slice(0, 12))] : null,
  ].filter(Boolean);
  const prefect = session?.prefect_url && h("a", { class: "button", href: `${session.prefect_url}/runs/flow-run/${told.run_id}`, rel: "noopener" }, "In Prefect");
  return h("div", { class: "head" },
    h("p", { class: "state" }, chip(told.ledger_status), told.verdict ? [" ", chip(told.verdict)] : null, isOpen ? h("span", { class: "quiet" }, " at work") : null),
    h("p", {}, h("strong", {}, told.round || told.agent_type), " ", h("span", { class: "quiet" }, told.objective)),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("p", { class: "actions" }, prefect, isOpen ? cancelButton(told) : h("a", { class: "button", href: `#/start?round=${encodeURIComponent(told.round || told.agent_type)}` }, "Start again")));
}

function cancelButton(told) {
  const hint = may("write") ? null : "A key with the permission write may cancel.";
  return h("button", { type: "button", id: "cancel", class: "grave", disabled: !may("write"), title: hint, onclick: () => cancel(told) }, "Cancel this run");
}

async function cancel(told) {
  const yes = await ask("Cancel this run?", h("p", {}, "It stops at its next step or operation. What it did already stays done."), "Cancel the run", true);
  if (!yes) return;
  try {
    await post(`agents/runs/${told.run_id}/cancel`);
    announce("The run was asked to stop.");
  } catch (error) {
    await ask("It was not cancelled", h("p", {}, error.message), "Close");
  }
}

function problem(error) {
  const where = error.step ? ` in step ${error.step}` : "";
  const stack = error.traceback ? h("details", { id: "stack" }, h("summary", {}, "Traceback"), h("pre", { tabindex: "0" }, error.traceback)) : null;
  return h("div", { class: "failure" }, h("p", {}, h("strong", {}, `${error.type}${where}: `), error.message), stack);
}

// Every part of what was found brings its own reasons; a claim without evidence is not made.
function reasons(told) {
  const { summary, ...parts } = told.artifacts || {};
  const quotes = new Set();
  // The summary says again what its parts said.
  const found = collect({ ...parts, summary }, []).filter(({ reason }) => !quotes.has(reason.quote) && quotes.add(reason.quote));
  const gaps = (told.artifacts?.gaps || []).map((gap) => h("li", {}, chip("unknown"), " ", typeof gap === "string" ? gap : `${gap.step || ""} ${gap.message || gap.said || JSON.stringify(gap)}`));
  if (!found.length && !gaps.length) return empty(unreasoned(told));
  const lines = found.map(({ part, reason }) => h("li", {}, h("strong", {}, part.replaceAll("_", " ")), " ", reason.quote,
    h("span", { class: "quiet" }, ` ${reason.signal}${reason.threshold === null || reason.threshold === undefined ? "" : `, threshold ${reason.threshold}`}`)));
  return h("ul", { class: "reasons" }, lines, gaps);
}

function unreasoned(told) {
  if (told.status === "running") return "The verdict comes at the end.";
  if (!told.verdict) return "There is no verdict: the run ended before it.";
  return told.verdict === "healthy" ? "Nothing was out of bounds." : "The verdict names no reason.";
}

function collect(value, path) {
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    if (name === "reasons" && Array.isArray(inner)) {
      return inner.filter((one) => one && one.quote).map((reason) => ({ part: path[0] || "verdict", reason }));
    }
    return collect(inner, [...path, name]);
  });
}

function stepTable(steps) {
  if (!steps.length) return empty("No step has begun yet.");
  return table("Steps of this run", ["Step", "Status", "Tries", "Began", "Took", "Said"], steps.map((step) => [
    step.attempt > 1 ? `${step.name} (attempt ${step.attempt})` : step.name, chip(step.status), String(step.tries), when(step.began_at), lasted(step.seconds), step.error?.message || "",
  ]));
}

function eventTable(events) {
  return table("Events of this run in the ledger", ["No.", "When", "What", "Facts"], events.map((event) => [
    String(event.seq), when(event.at), event.kind.replaceAll("_", " "), brief(event.payload),
  ]));
}

function brief(payload) {
  if (payload === null) return h("span", { class: "quiet" }, "erased");
  const text = JSON.stringify(payload);
  return h("code", { class: "brief" }, text.length > 200 ? `${text.slice(0, 200)} …` : text);
}

