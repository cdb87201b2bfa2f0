// Talking to the API. Every error is a Problem, whose message says what to do.

const BASE = "/api/v1";

export class Problem extends Error {
  constructor(title, detail, status, kind) {
    super(detail);
    this.title = title;
    this.status = status;
    this.kind = kind;
  }
}

/** Address of a resource; parameters that are null, empty or false are left out, lists are repeated. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "" && one !== false) query.append(name, one instanceof Date ? one.toISOString() : one);
    }
  }
  return `${BASE}${path}${query.size ? `?${query}` : ""}`;
}

const PATIENCE = 30_000;

export async function call(method, path, { parameters, body, signal } = {}) {
  const tooLong = AbortSignal.timeout(PATIENCE);
  let response;
  let answer = null;
  try {
    response = await fetch(address(path, parameters), {
      method,
      signal: signal ? AbortSignal.any([signal, tooLong]) : tooLong,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.status !== 204) answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    // An error's page, of a proxy perhaps, need not be JSON; an answer that breaks off is no answer.
    if (response === undefined || response.ok) throw new Problem("No answer", "The dashboard’s server does not answer. See whether it still runs: make dashboard.", 0, "offline");
  }
  if (!response.ok) {
    const kind = answer?.type?.split(":").at(-1) ?? "unknown";
    if (response.status === 401) document.dispatchEvent(new CustomEvent("token-needed"));
    throw new Problem(answer?.title ?? response.statusText, answer?.detail ?? "The answer cannot be read.", response.status, kind);
  }
  return answer;
}

export const get = (path, parameters, signal) => call("GET", path, { parameters, signal });
