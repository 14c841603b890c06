// How a run is started: dry unless somebody who may says otherwise, twice.

import { get, isKeyless, may, post } from "./api.js";
import { ask, field, h, panel } from "./dom.js";

export function start(_id, values) {
  const wanted = values.get("round") || "";
  const place = panel(readNames, (found) => form(found, wanted));
  return { title: "Start a run", nodes: [place], panels: [place], isStill: true };
}

async function readNames() {
  const [rounds, agents] = await Promise.all([get("rounds"), get("agents")]);
  return { rounds: rounds.rounds.map((one) => one.name), agents: agents.agents.map((one) => one.name) };
}

// One key for one form: a second press starts nothing new.
function fresh() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function form(found, wanted) {
  const maySay = isKeyless() || may("write");
  const options = (names) => names.map((name) => h("option", { value: name, selected: name === wanted }, name));
  const what = h("select", { id: "what", name: "what", required: true }, h("optgroup", { label: "Rounds" }, options(found.rounds)), h("optgroup", { label: "Agents, with their defaults" }, options(found.agents)));
  const objective = h("input", { id: "objective", name: "objective", type: "text", maxlength: 10000, autocomplete: "off" });
  const params = h("textarea", { id: "params", name: "params", rows: 4, spellcheck: "false", placeholder: "{\"days\": 7}" });
  const said = h("p", { class: "failure", role: "alert", id: "start-said", hidden: true });
  const key = fresh();
  const whole = h("form", { class: "sheet", onsubmit: (event) => send(event, said, key) },
    field("Round or agent", what), field("Objective", objective, "Why; unset: the agent's own words."),
    h("fieldset", {}, h("legend", {}, "Kind of run"), radio("dry", "Dry run", "Looks and tells, changes nothing.", true, false),
      radio("live", "Live", may("write") ? "May act, as far as policy lets it." : "Needs a key with the permission write.", false, !may("write"))),
    field("Parameters over the round's own, as JSON", params, "Empty: as the round has them."), said,
    h("p", { class: "actions" }, h("button", { type: "submit", class: "main", id: "go", disabled: !maySay, title: maySay ? null : "A key with the permission write may start runs." }, "Start")));
  return whole;
}

function radio(value, label, hint, isChosen, isShut) {
  const input = h("input", { type: "radio", name: "kind", id: `kind-${value}`, value, checked: isChosen, disabled: isShut, "aria-describedby": `kind-${value}-hint` });
  return h("div", { class: "choice" }, input, h("label", { for: `kind-${value}` }, label), h("span", { class: "hint", id: `kind-${value}-hint` }, hint));
}

async function send(event, said, key) {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(event.target));
  const isLive = given.kind === "live";
  said.hidden = true;
  try {
    const body = wish(given, isLive);
    const warning = h("p", {}, "This run is live: where policy allows it, ", h("strong", {}, given.what), " changes things outside.");
    if (isLive && !(await ask("Start a live run?", warning, "Start it live", true))) return;
    said.className = "quiet";
    said.textContent = "Starting …";
    said.hidden = false;
    const told = await post("agents/execute", body, { "Idempotency-Key": `page-${key}-${digest(body)}` });
    location.hash = `#/runs/${told.run_id}`;
  } catch (error) {
    said.className = "failure";
    said.textContent = error.message;
    said.hidden = false;
  }
}

function wish(given, isLive) {
  const isRound = given.what.includes("/");
  let params = {};
  if (given.params.trim()) {
    try {
      params = JSON.parse(given.params);
    } catch (error) {
      throw new Error(`The parameters are not JSON: ${error.message}`);
    }
  }
  return {
    agent_type: given.what.split("/")[0], ...(isRound ? { round: given.what } : {}), ...(given.objective ? { objective: given.objective } : {}),
    dry_run: !isLive, allow_actions: isLive, params, wait_seconds: 0,
  };
}

// Another wish from the same form is another run.
function digest(body) {
  return [...JSON.stringify(body)].reduce((sum, letter) => (Math.imul(sum, 31) + letter.codePointAt(0)) | 0, 7) >>> 0;
}
