// Requests to the engine. Everything is of this origin; the session is a cookie that scripts cannot read.

export class ApiError extends Error {
  // `status` is 0 if the engine could not be reached; then a command may or may not have been recorded.
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const TIMEOUT_MS = 10_000;
const listeners = { journal: [], login: [] };

let journal = "";
let changed = false;
let moment = {};

export const journalId = () => journal;
export const journalChanged = () => changed;
export const onJournalChanged = (call) => listeners.journal.push(call);
export const onLoginNeeded = (call) => listeners.login.push(call);

// Learns whose journal this page shows. Another id later means that another engine answers here.
export function meet(id) {
  if (!id || changed) return;
  if (!journal) journal = id;
  else if (id !== journal) {
    changed = true;
    for (const call of listeners.journal) call();
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, {
      credentials: "same-origin", cache: "no-store", redirect: "error",
      signal: AbortSignal.timeout(options.timeout ?? TIMEOUT_MS), ...options,
    });
  } catch (error) {
    throw new ApiError(0, "unreachable", "the engine cannot be reached");
  }
  let body = null;
  try {
    body = await response.json();
  } catch {
    // A proxy answers with a page of its own.
  }
  if (response.ok && body) {
    meet(body.journal);
    return body;
  }
  const code = body?.code ?? "";
  if (response.status === 401 && code !== "login_failed") for (const call of listeners.login) call();
  if (code === "other_journal") meet(body.journal || "another");
  const unknown = response.status >= 500 && !code;
  throw new ApiError(unknown ? 0 : response.status, code, body?.message ?? `the answer was HTTP ${response.status}`);
}

export function query(members) {
  const filled = Object.entries(members).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return new URLSearchParams(filled).toString();
}

// Of a recorded day everything is asked for as it was at one moment: `at` is a seq, `at_ms` a time.
export function setMoment(members) {
  moment = members;
}

export function get(name, members = {}, asOf = moment) {
  const text = query({ ...members, ...asOf, ...(journal ? { journal } : {}) });
  return request(`/api/${name}${text ? `?${text}` : ""}`, {});
}

export function post(path, body, timeout) {
  return request(path, {
    method: "POST", body: JSON.stringify(body), timeout,
    headers: { "Content-Type": "application/json", "X-Retape": "1" },
  });
}

export function newNonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
