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

export const isAborted = (error) => error.name === "AbortError";
