// How the page asks: by the same routes as everybody, with a cookie and the word that belongs to it.

export let session = null;

export class Problem extends Error {
  constructor(status, said) {
    super(said);
    this.status = status;
  }
}

export function may(permission) {
  const held = session?.permissions || [];
  return held.includes(permission) || held.includes("admin");
}

// Whether the page is used without any key: then it reads, and starts dry runs.
export function isKeyless() {
  return session !== null && session.csrf === null;
}

export async function get(path) {
  return call("GET", path);
}

export async function post(path, body = {}, headers = {}) {
  return call("POST", path, body, headers);
}

async function call(method, path, body, more = {}) {
  const headers = { Accept: "application/json", ...more };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (session?.csrf && method !== "GET") headers["X-CSRF-Token"] = session.csrf;
  const text = body === undefined ? undefined : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: text, credentials: "same-origin" });
  } catch {
    throw new Problem(0, "The server does not answer; the page tries again by itself.");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, told.error || `The server answered ${answer.status}.`);
  return told;
}

export async function readSession() {
  session = await get("session");
}

export async function signIn(key) {
  session = await post("session", { key });
}

export async function signOut() {
  try {
    // Another tab may have signed in since: the word has to be that of the cookie that is there now.
    await readSession();
    await call("DELETE", "session", {});
  } catch (error) {
    if (error.status !== 401) throw error;
  }
  session = null;
}

export async function text(path) {
  const answer = await fetch(path, { credentials: "same-origin" });
  if (!answer.ok) throw new Problem(answer.status, `The file could not be read (${answer.status}).`);
  return answer.text();
}

export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
