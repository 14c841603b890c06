// What a run did when, as a picture: one lane a step, its tries, its gaps, and what it did outside.

import { h, lasted, svg } from "./dom.js";

// Widths of the picture, of the names before it and of the sums behind it; letters of a name.
const WIDE = { width: 960, name: 180, sum: 60, letters: 24, ticks: 4 };
const NARROW = { width: 420, name: 130, sum: 50, letters: 17, ticks: 2 };
const LANE = 22;
const TOP = 24;
const LANES_MAX = 300;

export function timeline(run, steps, events) {
  const shown = steps.slice(0, LANES_MAX);
  const actions = events.filter((one) => one.kind.startsWith("action_"));
  const times = [run.started_at, run.completed_at, ...shown.flatMap((one) => [one.began_at, one.ended_at])];
  const known = [...times, ...actions.map((one) => one.at)].filter(Boolean).map(Date.parse);
  if (!known.length) return h("p", { class: "quiet" }, "No step has begun yet.");
  const first = Math.min(...known);
  const size = matchMedia("(max-width: 46rem)").matches ? NARROW : WIDE;
  const scale = { ...size, first, span: Math.max(Math.max(...known) - first, 1) };
  const lanes = lanesOf(shown);
  const height = TOP + (lanes.length + (actions.length ? 1 : 0)) * LANE + 6;
  const said = `Timeline: ${shown.length} steps over ${lasted(scale.span / 1000)}; the table below has the same facts`;
  const picture = svg("svg", { viewBox: `0 0 ${scale.width} ${height}`, role: "img", "aria-label": said, class: "timeline" },
    axis(scale, height), lanes.map((lane, n) => drawLane(lane, TOP + n * LANE, scale, events)),
    actions.length ? drawActions(actions, TOP + lanes.length * LANE, scale) : null);
  const cut = steps.length > shown.length ? h("p", { class: "quiet" }, `Only the first ${LANES_MAX} of ${steps.length} steps are drawn.`) : null;
  return h("div", {}, h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Timeline" }, picture), legend(), cut);
}

// Calls of one step that follow one another share its lane; attempts do not.
function lanesOf(steps) {
  const lanes = new Map();
  for (const step of steps) {
    const name = `${step.attempt} ${step.name}`;
    if (!lanes.has(name)) lanes.set(name, []);
    lanes.get(name).push(step);
  }
  const several = new Set(steps.map((one) => one.attempt)).size > 1;
  return [...lanes.values()].map((found) => ({ name: several ? `${found[0].attempt}: ${found[0].name}` : found[0].name, steps: found }));
}

function place(text, scale) {
  return scale.name + ((Date.parse(text) - scale.first) / scale.span) * (scale.width - scale.name - scale.sum);
}

function axis(scale, height) {
  return Array.from({ length: scale.ticks + 1 }, (_, n) => {
    const x = scale.name + ((scale.width - scale.name - scale.sum) * n) / scale.ticks;
    const label = lasted((scale.span * n) / scale.ticks / 1000);
    return [svg("line", { x1: x, x2: x, y1: TOP - 6, y2: height, class: "tick" }),
      svg("text", { x, y: 12, class: "tick-label", "text-anchor": "middle" }, n ? label : "0")];
  });
}

function drawLane(lane, y, scale, events) {
  const name = lane.name.length > scale.letters ? `${lane.name.slice(0, scale.letters - 1)}…` : lane.name;
  return svg("g", {}, svg("text", { x: 0, y: y + 15, class: "lane" }, name, svg("title", {}, lane.name)),
    lane.steps.map((step) => drawStep(step, y, scale, events)), sum(lane, y, scale));
}

function sum(lane, y, scale) {
  const known = lane.steps.map((step) => step.seconds).filter((one) => one !== null);
  const seconds = known.length ? known.reduce((all, one) => all + one, 0) : null;
  return svg("text", { x: scale.width, y: y + 15, class: "tick-label", "text-anchor": "end" }, lasted(seconds));
}

function drawStep(step, y, scale, events) {
  const gap = step.status === "failed" || step.status === "skipped";
  const told = `${step.name}: ${step.status}, ${lasted(step.seconds)}, ${step.tries} tries${step.error ? `; ${step.error.message}` : ""}`;
  if (!step.began_at) {
    const x = step.ended_at ? place(step.ended_at, scale) : scale.name;
    return svg("circle", { cx: x, cy: y + 10, r: 4, class: "bar skipped" }, svg("title", {}, told));
  }
  const x = place(step.began_at, scale);
  const end = step.ended_at ? place(step.ended_at, scale) : scale.width - scale.sum;
  const bar = svg("rect", { x, y: y + 4, width: Math.max(end - x, 3), height: 13, rx: 2, class: `bar ${step.status}` }, svg("title", {}, told));
  const mark = gap ? svg("text", { x: Math.max(end, x + 3) + 3, y: y + 15, class: "mark" }, step.status === "failed" ? "✕" : "–") : null;
  return [bar, retries(step, y, scale, events), mark];
}

function retries(step, y, scale, events) {
  const mine = events.filter((one) => one.kind === "step_retried" && one.attempt === step.attempt && one.payload?.index === step.index);
  return mine.map((one) => {
    const x = place(one.at, scale);
    return svg("path", { d: `M${x} ${y + 2}l4 8l-4 8l-4 -8z`, class: "retry" }, svg("title", {}, `tried again: ${one.payload?.error?.message || ""}`));
  });
}

function drawActions(actions, y, scale) {
  return svg("g", {}, svg("text", { x: 0, y: y + 15, class: "lane" }, "actions"), actions.map((one) => {
    const x = place(one.at, scale);
    return svg("rect", { x: x - 4, y: y + 6, width: 8, height: 8, class: "action" }, svg("title", {}, one.kind.replaceAll("_", " ")));
  }));
}

function legend() {
  const items = [["success", "done"], ["running", "at work"], ["failed", "failed ✕"], ["skipped", "skipped –"], ["retry", "tried again"], ["action", "action"]];
  return h("ul", { class: "legend", "aria-hidden": "true" }, items.map(([kind, word]) => h("li", {}, h("span", { class: `key ${kind}` }), word)));
}
