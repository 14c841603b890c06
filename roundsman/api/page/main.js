// Which view is shown, who looks at it, and how it keeps up with what happens.

import { isKeyless, readSession, session, signIn, signOut } from "./api.js";
import { approvals } from "./approvals.js";
import { announce, ask, failure, field, h } from "./dom.js";
import { findings } from "./findings.js";
import { history } from "./history.js";
import { listen, stop } from "./live.js";
import { overview } from "./overview.js";
import { run } from "./run.js";
import { start } from "./start.js";
import { readSwitch } from "./switch.js";

const VIEWS = { "": overview, runs: run, history, findings, approvals, start };
const SOON_MS = 250;
const WORDS = { live: "live", reconnecting: "reconnecting …", off: "not live" };

const main = document.getElementById("main");
let shown = null;
let soon = null;
let state = "off";
let wasLive = false;

function show() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const make = VIEWS[name] && (name !== "runs" || id) ? VIEWS[name] : null;
  if (!make) {
    draw("Not found", [h("p", { class: "empty" }, "There is no such view. ", h("a", { href: "#/" }, "Go to the overview"))]);
    return;
  }
  shown = make(decodeURIComponent(id || ""), new URLSearchParams(search || ""));
  draw(shown.title, shown.nodes);
  mark(name);
  refresh();
}

function draw(title, nodes) {
  document.title = `${title} · Roundsman`;
  main.replaceChildren(h("h1", {}, title), ...nodes);
  // Who moved by keyboard goes on from the new view's beginning.
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function mark(name) {
  for (const link of document.querySelectorAll("#views a")) {
    const isHere = link.getAttribute("href").replace(/^#\/?/, "") === name;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function refresh() {
  // Where it cannot be read, what the banner says stands; the view below tells of the trouble.
  readSwitch().catch(() => {});
  for (const panel of shown?.panels || []) panel.refresh();
}

function heard(kind, facts) {
  if (kind.startsWith("switch_")) readSwitch().catch(() => {});
  if (!shown || shown.isStill || (shown.only && facts.run_id && !facts.run_id.startsWith(shown.only))) return;
  if (kind === "run_finished") announce(`A run ended: ${facts.status}.`);
  if (kind === "run_failed") announce("A run failed.");
  // A burst is one look.
  soon ??= setTimeout(() => { soon = null; refresh(); }, SOON_MS);
}

function changed(now) {
  const was = state;
  state = now;
  const live = document.getElementById("live");
  const lost = document.getElementById("lost");
  live.textContent = WORDS[now];
  live.dataset.state = now;
  lost.hidden = now !== "reconnecting";
  lost.textContent = now === "reconnecting" ? "The server does not answer. What you see may be old; it is tried again." : "";
  if (now !== "live" || was === "live") return;
  if (was === "reconnecting") announce("Connected again.");
  if (wasLive && !shown?.isStill) refresh();
  wasLive = true;
}

function locked() {
  stop();
  changed("off");
  shown = null;
  who();
  const key = h("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, maxlength: 200 });
  const said = h("p", { class: "failure", role: "alert", id: "login-said", hidden: true });
  const enter = async (event) => {
    event.preventDefault();
    try {
      await signIn(key.value.trim());
      key.value = "";
      begin();
    } catch (error) {
      said.textContent = error.message;
      said.hidden = false;
    }
  };
  draw("Sign in", [h("form", { class: "sheet", onsubmit: enter }, field("Key", key, "One that `roundsman keys create` showed. It is exchanged for a cookie and kept nowhere."), said,
    h("p", { class: "actions" }, h("button", { type: "submit", class: "main", id: "enter" }, "Sign in")))]);
  key.focus();
}

function who() {
  const place = document.getElementById("who");
  document.getElementById("views").hidden = !session;
  if (!session) document.getElementById("stopped").hidden = true;
  if (!session) { place.replaceChildren(); return; }
  const out = h("button", { type: "button", id: "sign-out", onclick: leave }, "Sign out");
  const into = h("button", { type: "button", id: "sign-in", onclick: locked }, "Sign in");
  const prefect = session.prefect_url && h("a", { href: session.prefect_url, rel: "noopener" }, "Prefect");
  const name = isKeyless() ? "no key: reads and dry runs" : `${session.name} (${session.permissions.join(", ")})`;
  place.replaceChildren(...[prefect, h("span", { class: "quiet" }, name), isKeyless() ? into : out].filter(Boolean));
}

async function leave() {
  try {
    await signOut();
  } catch (error) {
    await ask("You are still signed in", h("p", {}, error.message), "Close");
    return;
  }
  locked();
}

function begin() {
  who();
  show();
  listen(heard, changed);
}

async function open() {
  try {
    await readSession();
    begin();
  } catch (error) {
    if (error.status === 401) locked();
    else draw("Roundsman", [failure(error, open)]);
  }
}

// A browser opens six connections to a server, for all its tabs: who is not looked at gives his back.
function pause() {
  if (!shown) return;
  stop();
  changed("off");
}

function resume() {
  if (shown && state === "off") listen(heard, changed);
}

document.addEventListener("visibilitychange", () => (document.hidden ? pause() : resume()));
window.addEventListener("pagehide", pause);
window.addEventListener("pageshow", resume);
window.addEventListener("hashchange", () => session && location.hash !== "#main" && show());
window.addEventListener("locked", locked);
window.addEventListener("again", () => shown && refresh());
document.getElementById("zone").textContent = `Times are those of ${Intl.DateTimeFormat().resolvedOptions().timeZone || "this machine"}; each tells UTC when it is pointed at.`;
document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
open();
