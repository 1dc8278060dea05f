// Small parts that several pages are made of.

import { h, s } from "./dom.js";
import { address, featureAddress, go, isPlain, read } from "./state.js";
import { ago, moment, percent } from "./words.js";

const VERDICTS = {
  ok: ["✓", "like the reference"],
  warn: ["▲", "differs"],
  drift: ["●", "drifted"],
  insufficient: ["○", "too few rows"],
};

/** A drift verdict: colour, shape and word say the same. */
export function verdict(value, words = null) {
  const [shape, word] = VERDICTS[value] ?? ["○", value];
  return h("span", { class: `verdict ${value}` }, h("span", { "aria-hidden": "true" }, shape), ` ${words ?? word}`);
}

/** A moment, as long ago and in full. */
export const time = (text) => h("time", { datetime: text, title: moment(text) }, ago(text));

/** The name of a feature: its view, and its own name. */
export function featureName(name, mark = (text) => text) {
  const dot = name.indexOf(".") + 1;
  return h("span", { class: "name" }, h("span", { class: "view" }, mark(name.slice(0, dot))), h("wbr"), h("b", {}, mark(name.slice(dot))));
}

/** A link to a feature. */
export function featureLink(problem, name, ...content) {
  const follow = (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    const state = read();
    go({ ...(state.page === "features" ? state : {}), open: { problem, name } }); // the search stays as it is
  };
  return h("a", { href: featureAddress(problem, name), onclick: follow }, ...(content.length ? content : [featureName(name)]));
}

/** A share as a bar with its number. */
export function share(value, most = 1, text = percent(value)) {
  return h("span", { class: "share" },
    h("span", { class: "bar", "aria-hidden": "true" }, h("span", { css: { width: `${Math.min(100, 100 * value / (most || 1))}%` } })),
    h("span", { class: "value" }, text));
}

/** Something that is not there, with what to do about it. */
export function empty(title, text, command) {
  return h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, text), command && h("pre", {}, h("code", {}, command)));
}

/** Files of a result that could not be read. */
export function unreadable(lines) {
  if (!lines.length) return null;
  return h("div", { class: "unreadable", role: "note" },
    lines.map((line) => h("p", {}, line)),
    h("p", {}, "Make it anew: ", h("code", {}, "kedro run reuse=false")));
}

/** Where a file of a result is. */
export const reportPath = (problem, model, result, file) => `/reports/${[problem, model, result, file].map(encodeURIComponent).join("/")}`;

/** A link to a file of a result: texts are shown here, all else in another tab. */
export function report(one, result, file, text) {
  if (!one.reports[result]?.includes(file)) return null;
  if (!file.endsWith(".md")) {
    const href = reportPath(one.problem, one.model, result, file);
    return h("a", { href, target: "_blank", rel: "noopener" }, text, h("span", { class: "unseen" }, " (new tab)"));
  }
  const state = { page: "report", at: [one.problem, one.model, result, file].join("/") };
  const follow = (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    go(state);
  };
  return h("a", { href: address(state), onclick: follow }, text);
}

/** A fold that shows what is below its line. */
export const fold = (title, ...content) => h("details", {}, h("summary", {}, title), ...content);

/** Where an interval lies beside zero. */
export function interval(low, value, high, colour) {
  const most = Math.max(Math.abs(low), Math.abs(high), Math.abs(value)) * 1.15 || 1;
  const x = (one) => 60 + 56 * one / most;
  return s("svg", { class: `interval ${colour}`, viewBox: "0 0 120 16", width: 120, height: 16, "aria-hidden": "true" },
    s("line", { class: "zero", x1: 60, x2: 60, y1: 0, y2: 16 }),
    s("line", { class: "range", x1: x(low), x2: x(high), y1: 8, y2: 8 }),
    s("circle", { cx: x(value), cy: 8, r: 3.5 }));
}
