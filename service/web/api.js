// The service's HTTP interface, as this page uses it.

const ATTEMPTS = 5;
const LONGEST_WAIT_S = 30;

/** An error as the service (application/problem+json) or the network gives it; status 0: no answer. */
export class Problem extends Error {
  constructor(status, document = {}, retryAfterS = null) {
    super(document.detail ?? document.title ?? "");
    this.status = status;
    this.kind = document.type?.split(":").at(-1) ?? null;
    this.requestId = document.request_id ?? null;
    this.retryAfterS = retryAfterS;
  }
}

/** Address of a path of the service, also behind a gateway's prefix. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) if (value != null) url.searchParams.set(name, value);
  return url;
}

/** Address of the prediction that a question asks for. */
export function predictAddress({ model, level, threshold, detect }) {
  return address("v1/predict", { model, interval: level, thresholds: threshold, detect: detect ? null : "false" });
}

/** The loaded models. */
export async function fetchModels(key) {
  return (await ask(address("v1/models"), { headers: headersFor(key) })).models;
}

/**
 * The prediction for a file. Where the service asks to come again (429, 503 with Retry-After) this waits so
 * long, telling `onWait(seconds)`, and does.
 */
export async function predict(file, question, { key, signal, onWait }) {
  for (let attempt = 1; ; attempt += 1) {
    const body = new FormData();
    body.append("file", file, file.name);
    try {
      return await ask(predictAddress(question), { method: "POST", body, signal, headers: headersFor(key) });
    } catch (problem) {
      const wait = problem.retryAfterS;
      if (wait == null || wait > LONGEST_WAIT_S || attempt === ATTEMPTS) throw problem;
      onWait(wait);
      await pause(wait * 1000, signal);
    }
  }
}

/** A header takes one byte for each character of its text: so those of the key are its bytes in UTF-8. */
function headersFor(key) {
  return key ? { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}` } : {};
}

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  if (response.ok) return response.json();
  const document = await response.json().catch(() => ({}));
  throw new Problem(response.status, document, secondsOf(response.headers.get("Retry-After")));
}

function secondsOf(header) {
  if (header == null) return null;
  const seconds = Number(header);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : Math.max(0, (Date.parse(header) - Date.now()) / 1000);
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
