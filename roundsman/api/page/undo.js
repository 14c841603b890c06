// What a run did outside, and the run that takes it back.

import { get, may, post } from "./api.js";
import { announce, ask, chip, h, table } from "./dom.js";

// Only a live run can have done anything.
export async function readUndo(run) {
  if (run.dry_run || run.status === "running") return [];
  return (await get(`agents/runs/${encodeURIComponent(run.run_id)}/undo`)).actions;
}

export function undoing(run, actions) {
  if (!actions.length) return null;
  const rows = actions.map((one) => [one.action.replaceAll("_", " "), one.target, chip(one.state), one.said]);
  const can = actions.some((one) => one.state === "undoable");
  return h("section", { "aria-label": "What it did outside" }, h("h2", {}, "What it did outside"),
    table("Effects of this run, the last one first", ["Action", "On", "Undo", "Said"], rows), can ? buttons(run) : null);
}

function buttons(run) {
  const hint = may("write") ? null : "A key with the permission write may undo.";
  const make = (id, kind, word, act) => h("button", { type: "button", id, class: kind, disabled: !may("write"), title: hint, onclick: act }, word);
  return h("p", { class: "actions" },
    make("look-undo", "", "See what an undo would lose", () => begin(run, true)), make("undo", "grave", "Undo …", () => sure(run)), hint && h("span", { class: "quiet" }, hint));
}

async function sure(run) {
  const told = "A run of its own takes back what can be taken back, the last effect first. What came after it may be lost: look first what that is.";
  if (await ask("Undo what this run did?", h("p", {}, told), "Undo", true)) await begin(run, false);
}

async function begin(run, isDry) {
  try {
    const told = await post(`agents/runs/${encodeURIComponent(run.run_id)}/undo`, { dry_run: isDry });
    announce(isDry ? "A run looks what an undo would lose." : "A run takes it back.");
    location.hash = `#/runs/${told.run_id}`;
  } catch (error) {
    await ask("It was not undone", h("p", {}, error.message), "Close");
  }
}
