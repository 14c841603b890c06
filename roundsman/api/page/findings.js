// Which problems there are, and what people say of them.

import { get, may, post } from "./api.js";
import { announce, ask, chip, empty, field, h, panel, when } from "./dom.js";

export function findings(_id, values) {
  const isAll = values.get("all") === "1";
  const place = panel(() => get(`findings?limit=200${isAll ? "&everything=true" : ""}`), (found) => draw(found, isAll, place));
  const choice = h("p", {}, h("a", { href: isAll ? "#/findings" : "#/findings?all=1" }, isAll ? "Show only those that last" : "Show resolved ones too"));
  return { title: "Findings", nodes: [choice, place], panels: [place] };
}

function draw(found, isAll, place) {
  if (!found.findings.length) return empty(isAll ? "Nothing was ever found." : "No problem lasts. The rounds found nothing that is still there.");
  return found.findings.map((one) => card(one, place));
}

function card(one, place) {
  const isMuted = one.muted_until && Date.parse(one.muted_until) > Date.now();
  const facts = [["First seen", when(one.first_seen_at)], ["Last seen", when(one.last_seen_at)], ["Times seen", String(one.times_seen)],
    ["Round", one.round || one.agent], one.acknowledged_by ? ["Taken on by", one.acknowledged_by] : null,
    isMuted ? ["Muted until", [when(one.muted_until), ` by ${one.muted_by}`]] : null, one.note ? ["Note", one.note] : null].filter(Boolean);
  const last = h("a", { href: `#/runs/${one.last_run}` }, "Last run that saw it");
  return h("article", { class: "card", "aria-label": `${one.kind} of ${one.subject}` },
    h("h3", {}, chip(one.severity), " ", one.kind.replaceAll("_", " "), " of ", one.subject, " ", chip(one.state)),
    h("p", {}, one.said), one.reasons.length ? h("ul", { class: "reasons" }, one.reasons.map((reason) => h("li", {}, reason.quote))) : null,
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("p", { class: "actions" }, last, one.state === "resolved" ? null : buttons(one, isMuted, place)));
}

function buttons(one, isMuted, place) {
  const hint = may("write") ? null : "A key with the permission write may do this.";
  const make = (id, word, act) => h("button", { type: "button", id: `${id}-${one.fingerprint}`, disabled: !may("write"), title: hint, onclick: () => act(one, place) }, word);
  return [one.state === "open" ? make("ack", "Take it on", acknowledge) : null, isMuted ? make("unmute", "Unmute", unmute) : make("mute", "Mute", mute), hint && h("span", { class: "quiet" }, hint)];
}

async function acknowledge(one, place) {
  const note = field("Note", h("textarea", { id: "note", name: "note", rows: 3, maxlength: 10000 }), "Reminders end, unless it worsens.");
  const given = await ask("Take this finding on", note, "Take it on");
  if (given) await send(one, "ack", given.note ? { note: given.note } : {}, "The finding was taken on.", place);
}

async function mute(one, place) {
  const hours = h("input", { id: "hours", name: "hours", type: "number", min: 1, max: 720, value: 4, required: true });
  const reason = h("textarea", { id: "reason", name: "reason", rows: 3, maxlength: 10000 });
  const given = await ask("Mute this finding", [field("Hours", hours), field("Reason", reason, "It is still recorded; nobody hears of it meanwhile.")], "Mute");
  if (given) await send(one, "mute", { hours: Number(given.hours), ...(given.reason ? { reason: given.reason } : {}) }, "The finding is muted.", place);
}

async function unmute(one, place) {
  await send(one, "unmute", {}, "The finding is heard of again.", place);
}

async function send(one, verb, body, said, place) {
  try {
    await post(`findings/${one.fingerprint}/${verb}`, body);
    announce(said);
  } catch (error) {
    await ask("That was refused", h("p", {}, error.message), "Close");
  }
  await place.refresh();
}
