// Questions to the server this page came from, and what becomes of failures.

const PATIENCE = 20_000; // milliseconds until a question counts as unanswered
const KEY = "penchant.key";

/** What a failure was: `status` 0 means that no answer came. `wait`: seconds after which asking again may help. */
export class Failure extends Error {
  constructor(status, code, message, hint = "", wait = null) {
    super(message);
    Object.assign(this, { status, code, hint, wait });
  }

  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

let inFlight = 0;
let ownKey = null; // where the browser keeps nothing
let asking = null; // one dialog for however many questions wait for a key
let askKey = async () => null;

/** Who asks for an API key: a function that answers with one, or null. */
export const onKeyWanted = (ask) => (askKey = ask);

/** The JSON answer to GET, or to POST when there is a body. Throws Failure; an AbortError when `signal` says so. */
export async function ask(path, { query, body, signal } = {}) {
  busy(+1);
  try {
    return await answered(path, query, body, signal);
  } finally {
    busy(-1);
  }
}

async function answered(path, query, body, signal) {
  const sent = key();
  const response = await fetched(path, query, body, signal);
  if (response.ok) return read(response);
  const failure = await failureOf(response);
  if (failure.status !== 401 && failure.status !== 403) throw failure;
  if (key() === sent) {
    asking ??= askKey(failure, sent !== null).finally(() => (asking = null));
    const given = await asking;
    if (given === null) throw failure;
    remember(given);
  }
  return answered(path, query, body, signal);
}

async function read(response) {
  try {
    return await response.json();
  } catch {
    throw new Failure(0, "no_answer", "The answer broke off.", "The connection was lost on the way.");
  }
}

async function fetched(path, query, body, signal) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.append(name, value);
  const headers = { Accept: "application/json" };
  if (key() !== null) headers.Authorization = `Bearer ${key()}`;
  if (body) headers["Content-Type"] = "application/json";
  const patience = AbortSignal.timeout(PATIENCE);
  try {
    return await fetch(url, {
      method: body ? "POST" : "GET",
      headers,
      body: body && JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
      credentials: "same-origin",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const slow = patience.aborted;
    const what = slow ? "The server takes too long to answer." : "The server cannot be reached.";
    throw new Failure(0, "no_answer", what, "Nothing is lost: your ratings are kept in this browser.");
  }
}

async function failureOf(response) {
  const said = await response.json().then((answer) => answer.error, () => null);
  const wait = Number(response.headers.get("Retry-After"));
  const message = said?.message ?? `The server answered with ${response.status}.`;
  const seconds = response.headers.has("Retry-After") && Number.isFinite(wait) ? wait : null;
  return new Failure(response.status, said?.code ?? "unknown", message, said?.hint ?? "", seconds);
}

/** The id of an item as a part of a path. */
export const place = (id) => encodeURIComponent(String(id));

function busy(change) {
  inFlight += change;
  document.getElementById("progress").hidden = inFlight === 0;
}

function key() {
  try {
    return sessionStorage.getItem(KEY) ?? ownKey;
  } catch {
    return ownKey;
  }
}

function remember(given) {
  ownKey = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // Kept until the page is left.
  }
}
