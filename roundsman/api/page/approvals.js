// What waits for a person: what exactly is to be done, why, and the answer.

import { get, may, post } from "./api.js";
import { announce, ask, chip, empty, field, h, panel, pretty, when } from "./dom.js";

export function approvals(_id, values) {
  const only = values.get("action");
  const isAll = values.get("all") === "1";
  const read = only ? async () => ({ approvals: [await get(`approvals/${encodeURIComponent(only)}`)] }) : () => get(`approvals?limit=200${isAll ? "&everything=true" : ""}`);
  const place = panel(read, (found) => draw(found, place));
  const choice = only ? h("a", { href: "#/approvals" }, "Show all that wait") : h("a", { href: isAll ? "#/approvals" : "#/approvals?all=1" }, isAll ? "Show only those that wait" : "Show answered ones too");
  return { title: "Approvals", nodes: [h("p", {}, choice), place], panels: [place] };
}

function draw(found, place) {
  if (!found.approvals.length) return empty("Nothing waits for an answer.");
  return found.approvals.map((one) => card(one, place));
}

function card(one, place) {
  const facts = [["Asked by", one.requested_by], ["Asked at", when(one.proposed_at)], ["Expires", when(one.expires_at)], ["Policy rule", one.policy_rule_id],
    ["May answer", one.approvers.length ? one.approvers.join(", ") : "whoever may approve"], one.four_eyes ? ["Four eyes", "not who asked"] : null,
    one.reviewed_by ? ["Answered by", [one.reviewed_by, " ", when(one.reviewed_at)]] : null, one.review_note ? ["Reason given", one.review_note] : null,
    one.said ? ["Came of it", one.said] : null].filter(Boolean);
  const links = [h("a", { href: `#/runs/${one.run_id}` }, "The run that asks"), one.acting_run ? h("a", { href: `#/runs/${one.acting_run}` }, "The run that acted") : null];
  return h("article", { class: "card", "aria-label": `${one.action} on ${one.target}` },
    h("h3", {}, one.action.replaceAll("_", " "), " on ", one.target, " ", chip(one.state)),
    h("p", {}, h("strong", {}, "Why a person is asked: "), one.reason),
    h("h4", {}, "Exactly this would be done"), pretty(one.payload),
    fold(one, "Only if this still holds", one.precondition), fold(one, "What it is wanted for", one.occasion), fold(one, "Context", one.context),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("p", { class: "quiet" }, `sha256 of the payload: ${one.payload_sha256}`),
    h("p", { class: "actions" }, links, buttons(one, place)));
}

function fold(one, name, value) {
  if (!value || !Object.keys(value).length) return null;
  return h("details", { id: `${one.action_id}-${name.replaceAll(" ", "-")}` }, h("summary", {}, name), pretty(value));
}

function buttons(one, place) {
  const hint = may("approve") ? null : "A key with the permission approve may answer.";
  const make = (id, kind, word, act) => h("button", { type: "button", id: `${id}-${one.action_id}`, class: kind, disabled: !may("approve"), title: hint, onclick: () => act(one, place) }, word);
  const told = hint && h("span", { class: "quiet" }, hint);
  if (one.state === "waiting") return [make("deny", "", "Deny", deny), make("approve", "main", "Approve", approve), told];
  // A yes that no run has used yet.
  if (one.state === "allowed" && one.reviewed_by) return [make("deny", "", "Take back the yes", deny), told];
  return ["denied", "expired"].includes(one.state) ? [make("reopen", "", "Reopen", reopen), told] : null;
}

function question(one) {
  const note = h("textarea", { id: "note", name: "note", rows: 3, required: true, maxlength: 10000 });
  return [h("p", {}, h("strong", {}, `${one.action.replaceAll("_", " ")} on ${one.target}`)), pretty(one.payload), field("Reason", note, "It stays in the ledger beside your name.")];
}

async function approve(one, place) {
  const given = await ask("Approve this action?", question(one), "Approve");
  if (!given) return;
  announce("Approving …");
  try {
    const told = await post(`approvals/${one.action_id}/approve`, { note: given.note });
    announce(`Approved ${one.action.replaceAll("_", " ")} on ${one.target}. This is the run that does it.`);
    location.hash = `#/runs/${told.run_id}`;
  } catch (error) {
    await refused(error, place);
  }
}

async function reopen(one, place) {
  const note = h("textarea", { id: "note", name: "note", rows: 2, maxlength: 10000 });
  const given = await ask("Let it wait for an answer again?", [h("p", {}, h("strong", {}, `${one.action.replaceAll("_", " ")} on ${one.target}`)), field("Reason", note, "It stays in the ledger beside your name.")], "Reopen");
  if (!given) return;
  try {
    await post(`approvals/${one.action_id}/reopen`, given.note ? { reason: given.note } : {});
    announce("It waits for an answer again.");
    await place.refresh();
  } catch (error) {
    await refused(error, place);
  }
}

async function deny(one, place) {
  const given = await ask("Deny this action?", question(one), "Deny", true);
  if (!given) return;
  try {
    await post(`approvals/${one.action_id}/deny`, { note: given.note });
    announce("Denied.");
    await place.refresh();
  } catch (error) {
    await refused(error, place);
  }
}

async function refused(error, place) {
  await ask("The answer was refused", h("p", {}, error.message), "Close");
  await place.refresh();
}
