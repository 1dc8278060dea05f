// What is shown is what the address says, so that it can be shared, bookmarked, and gone back from.

export const FACETS = {
  entity: "Key",
  feature_type: "Type",
  dtype: "Data type",
  window: "Window",
  owner: "Owner",
  freshness: "Newest value",
  problem: "Problem",
};

const STEP = 50;

/** Page, query, filters, open feature and its problem, and how many results are shown. */
export function read() {
  const params = new URLSearchParams(location.search);
  const filters = Object.fromEntries(Object.keys(FACETS).filter((one) => params.has(one)).map((one) => [one, params.get(one)]));
  const open = params.get("feature");
  const slash = open?.indexOf("/") ?? -1;
  return {
    page: location.pathname.slice(1) || "features",
    q: params.get("q") ?? "",
    filters,
    open: open ? { problem: open.slice(0, slash), name: open.slice(slash + 1) } : null,
    shown: Math.min(Number(params.get("shown")) || STEP, 500),
    at: params.get("at"),
  };
}

/** The address of a state. */
export function address({ page = "features", q = "", filters = {}, open = null, shown = STEP, at = null }) {
  const params = new URLSearchParams();
  if (q) params.set("q", q);
  for (const [name, value] of Object.entries(filters)) params.set(name, value);
  if (open) params.set("feature", `${open.problem}/${open.name}`);
  if (shown !== STEP) params.set("shown", shown);
  if (at) params.set("at", at);
  const text = params.toString().replaceAll("%2F", "/").replaceAll("%40", "@");
  return `/${page}${text ? `?${text}` : ""}`;
}

export const featureAddress = (problem, name) => address({ open: { problem, name } });

/** Go to a state; with `replace`, the one before is not kept to go back to. */
export function go(state, { replace = false, from = null } = {}) {
  history[replace ? "replaceState" : "pushState"]({ from }, "", address(state));
  dispatchEvent(new Event("moved"));
}

/** Whether a click is one to follow here, rather than in another tab. */
export const isPlain = (event) => event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
