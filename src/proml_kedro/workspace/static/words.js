// Values as people read them.

const count = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const number = (value) => count.format(value);

/** A measured number: few digits, whatever its size. */
export function measured(value) {
  if (value == null) return "undefined";
  const size = Math.abs(value);
  if (size >= 1e6) return compact.format(value);
  return size !== 0 && size < 1e-3 ? value.toExponential(1) : short.format(value);
}

export const plural = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

/** A share as a percentage with as many digits as it deserves. */
export function percent(share) {
  if (share == null) return "";
  const value = share * 100;
  if (value > 0 && value < 0.01) return "<0.01%";
  if (value < 100 && value > 99.99) return ">99.99%";
  return `${value.toFixed(value === 0 || value >= 10 || Number.isInteger(value) ? 0 : value < 1 ? 2 : 1)}%`;
}

/** A moment in UTC, to the minute. */
export const moment = (text) => `${text.slice(0, 10)} ${text.slice(11, 16)} UTC`;

/** How long ago a moment was. */
export function ago(text) {
  const seconds = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  const [size, unit] = [[31557600, "year"], [2629800, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]]
    .find(([length]) => seconds >= length) ?? [1, ""];
  return unit ? `${plural(Math.floor(seconds / size), unit)} ago` : "just now";
}

/** What a facet's value is called. */
export function facetValue(facet, value) {
  if (facet === "window" && value === "all") return "all time";
  if (value !== "") return facet === "entity" ? value.replaceAll(",", ", ") : value;
  return { window: "no window", owner: "no owner" }[facet] ?? "none";
}

/** The words of a query, as the search reads them. */
export function queryWords(query) {
  return query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}
