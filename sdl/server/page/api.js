// The laboratory's API, version 1. The token stays in this tab, and goes into a header, never into an address.

const PREFIX = "/api/v1";
const KEY = "sdl token";

/** What the server refused, in its own words. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.hint = body?.hint ?? "";
    this.errors = body?.errors ?? [];
    this.retryAfter = null; // seconds after which to ask again, where the server is only busy
  }
}

/** Take the token out of the address, where the command that started the server has put it. */
export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
    history.replaceState(null, "", `${location.pathname}#/campaigns`);
  }
  return sessionStorage.getItem(KEY);
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token.trim());
}

export function dropToken() {
  sessionStorage.removeItem(KEY);
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

async function answerOf(response) {
  if (response.ok) return response;
  let body = null;
  try { body = await response.json(); } catch { body = null; }
  const refusal = new Refusal(response.status, body);
  if (response.headers.has("Retry-After")) refusal.retryAfter = Number(response.headers.get("Retry-After")) || 1;
  throw refusal;
}

async function call(method, path, body) {
  const options = { method, headers: headers(), cache: "no-store", credentials: "omit" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  return (await answerOf(await fetch(PREFIX + path, options))).json();
}

const PATIENCE = 60; // seconds for which something is asked again that the server has no time for

/** Do *action*, again where the server is busy and says when to come back; *say* is told for how long it waits. */
export async function patiently(action, say) {
  const until = performance.now() + 1000 * PATIENCE;
  for (;;) {
    try { return await action(); } catch (error) {
      const wait = error instanceof Refusal ? error.retryAfter : null;
      if (wait === null || performance.now() + 1000 * wait > until) throw error;
      say(wait);
      await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
    }
  }
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);
export const put = (path, body) => call("PUT", path, body);

/** Fetch a file with the token, and hand it to the browser as a download. */
export async function download(path, name) {
  const response = await answerOf(await fetch(PREFIX + path, { headers: headers(), credentials: "omit" }));
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** Yield the live events after *after* (null: from now on), until the connection ends. */
export async function* events(after, signal) {
  const more = after === null ? {} : { "Last-Event-ID": String(after) };
  const response = await answerOf(await fetch(`${PREFIX}/events`, { headers: headers(more), credentials: "omit", signal }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = eventOf(block);
      if (event) yield event;
    }
  }
}

function eventOf(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
  }
  return fields.data === undefined ? null : { kind: fields.event, id: Number(fields.id), data: JSON.parse(fields.data) };
}
