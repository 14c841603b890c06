// The one switch that halts every effect of the org: told in every view, turned by who may approve.

import { get, may, post } from "./api.js";
import { announce, ask, field, h, when } from "./dom.js";

const banner = document.getElementById("stopped");

export async function readSwitch() {
  const found = await get("actions/stop");
  banner.hidden = !found.stopped;
  const words = found.stopped ? [h("strong", {}, "All actions are stopped"), ` by ${found.who}, since `, when(found.since), found.reason ? `: ${found.reason}` : "", " ", button("resume", "", "Resume …", resume)] : [];
  const told = JSON.stringify(found);
  // Drawn anew only when it changed, so that nobody loses the button that he stands on.
  if (banner.dataset.told !== told) banner.replaceChildren(...words);
  banner.dataset.told = told;
  return found;
}

export function drawSwitch(found) {
  if (found.stopped) return h("p", { class: "quiet" }, "Nothing begins until somebody resumes; what had begun was not called back.");
  return h("div", {}, h("p", { class: "quiet" }, "Agents may act where a run is live and policy, or a person, allows it."),
    h("p", { class: "actions" }, button("stop", "grave", "Stop all actions …", halt)));
}

function button(id, kind, word, act) {
  const hint = may("approve") ? null : "A key with the permission approve may turn the switch.";
  return h("button", { type: "button", id: `switch-${id}`, class: kind, disabled: !may("approve"), title: hint, onclick: act }, word);
}

function reason(isNeeded) {
  return field("Reason", h("textarea", { id: "reason", name: "reason", rows: 2, maxlength: 10000, required: isNeeded }), "It stays in the ledger beside your name, and is shown to everybody.");
}

async function halt() {
  const given = await ask("Stop all actions?", [h("p", {}, "No agent begins any effect until somebody resumes. Runs go on, and say what they would have done."), reason(true)], "Stop all actions", true);
  if (given) await turn("stop", given, () => "All actions are stopped.");
}

async function resume() {
  const given = await ask("Let actions begin again?", [h("p", {}, "What was approved meanwhile is done now, each by a run of its own."), reason(false)], "Resume");
  if (given) await turn("resume", given, (told) => `Actions may begin again; ${Object.keys(told.started || {}).length} runs were started for what was approved.`);
}

async function turn(way, given, said) {
  try {
    announce(said(await post(`actions/${way}`, given.reason ? { reason: given.reason } : {})));
  } catch (error) {
    await ask("The switch was not turned", h("p", {}, error.message), "Close");
  }
  window.dispatchEvent(new Event("again"));
}
