// Questions to the server; a newer one of the same sort makes the older one void.

const running = new Map();

export class Refused extends Error {}

/**
 * The answer to a question.
 *
 * @throws {Refused} when there is no such thing; with what the server says.
 */
export async function ask(what, params = {}, sort = what) {
  running.get(sort)?.abort();
  const controller = new AbortController();
  running.set(sort, controller);
  const query = new URLSearchParams(params).toString();
  const response = await fetch(`/api/${what}${query ? `?${query}` : ""}`, { signal: controller.signal });
  if (response.ok) return response.json();
  const answer = await response.json().catch(() => ({}));
  throw new Refused(answer.message ?? `${response.status} ${response.statusText}`);
}

/**
 * Tell the server something, and return its answer.
 *
 * @throws {Refused} when it does not take it; with what it says.
 */
export async function tell(what, content) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`/api/${what}`, { method: "POST", headers, body: JSON.stringify(content) });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new Refused(answer.message ?? `${response.status} ${response.statusText}`);
}

export const isAborted = (error) => error.name === "AbortError";
