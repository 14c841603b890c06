// How the page learns that something happened: one stream of events, and what is said while it is lost.

import { get } from "./api.js";

const KINDS = [
  "run_queued", "run_started", "run_finished", "run_failed", "run_refused", "run_erased", "cancel_requested",
  "step_started", "step_finished", "step_failed", "step_retried", "step_skipped", "artifact_written",
  "budget_exceeded", "action_proposed", "action_considered", "action_claimed", "action_settled",
  "action_judged", "action_approved", "action_denied", "action_expired", "action_reopened",
  "finding_opened", "finding_seen", "finding_good", "finding_worsened", "finding_eased", "finding_resolved",
  "finding_reopened", "finding_acknowledged", "finding_muted", "finding_unmuted",
  "switch_stopped", "switch_resumed",
];
const AGAIN_MS = 2000;
const AGAIN_MS_MAX = 30000;

let source = null;
let timer = null;
let pause = AGAIN_MS;
let last = null;

// `heard(kind, facts)` for every event; `changed(state)` with live, reconnecting or off.
export function listen(heard, changed) {
  stop();
  const after = last === null ? "" : `?after=${last}`;
  source = new EventSource(`agents/events${after}`);
  source.onopen = () => { pause = AGAIN_MS; changed("live"); };
  source.onerror = () => {
    changed("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return;
    // A browser gives up for good where it was answered with an error, and does not say with which.
    get("session").catch((error) => source && error.status === 401 && window.dispatchEvent(new Event("locked")));
    timer = setTimeout(() => listen(heard, changed), pause);
    pause = Math.min(pause * 2, AGAIN_MS_MAX);
  };
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      last = event.lastEventId || last;
      heard(kind, JSON.parse(event.data));
    });
  }
}

export function stop() {
  clearTimeout(timer);
  source?.close();
  source = null;
}
