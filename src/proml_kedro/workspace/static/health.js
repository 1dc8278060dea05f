// Whether the data still is what the models were made for.

import { anomalies } from "./anomalies.js";
import { ask, isAborted } from "./ask.js";
import { h } from "./dom.js";
import { empty, featureLink, fold, report, time, unreadable, verdict } from "./parts.js";
import { measured, number, percent, plural } from "./words.js";

/** Fill the page. */
export async function health(main) {
  try {
    const [found, unusual] = await Promise.all([ask("health", {}, "page"), ask("anomalies", {}, "anomalies")]);
    const nothing = empty("Nothing was checked yet", "A run compares the newest rows with those that the model learned from.", "kedro run");
    main.replaceChildren(h("div", { class: "cards" }, h("h1", {}, "Health"), glance(found), anomalies(unusual), found.length ? found.map(card) : nothing));
  } catch (error) {
    if (!isAborted(error)) main.replaceChildren(empty("Health cannot be shown", error.message));
  }
}

/** All models at a glance. */
function glance(found) {
  if (found.length < 2) return null;
  return h("ul", { class: "glance", "aria-label": "All models" }, found.map((one) => h("li", {},
    one.drift ? verdict(one.drift.verdict, one.drift.verdict) : h("span", { class: "dim" }, "not checked"), " ", one.model, h("span", { class: "dim" }, ` ${one.problem}`))));
}

function card(one) {
  const { drift, consistency } = one;
  return h("article", { class: "card", "aria-label": `Health of ${one.model} for ${one.problem}` },
    h("header", {}, h("h2", {}, one.model), drift ? verdict(drift.verdict, drift.words) : null, h("span", { class: "dim" }, one.problem, " · ", time(one.made))),
    unreadable(one.unreadable),
    drift ? checked(one, drift) : one.unreadable.length ? null
      : h("p", { class: "dim" }, "Drift was not checked yet: ", h("code", {}, `kedro run --pipelines=monitor model=${one.model}`)),
    consistency ? online(consistency) : null,
    h("p", { class: "reports" }, report(one, "drift", "drift.html", "Evidently’s report"), report(one, "drift", "drift.md", "Summary"),
      report(one, "drift", "drift.png", "Plot"), report(one, "consistency", "consistency.json", "Online values")));
}

function checked(one, drift) {
  const [bad, good] = [drift.columns.filter((column) => column.verdict !== "ok"), drift.columns.filter((column) => column.verdict === "ok")];
  return h("section", {},
    h("p", {}, `${number(drift.current_rows)} current rows against ${number(drift.reference_rows)} of the reference.`),
    drift.notices.map((notice) => h("p", { class: "dim" }, notice)),
    bad.length ? columns(one, bad, "Columns that differ") : null,
    good.length ? fold(`${plural(good.length, "column")} like the reference`, columns(one, good, "Columns like the reference")) : null);
}

function columns({ problem, features }, found, label) {
  const declared = new Set(features);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", { class: "metrics columns" },
    h("thead", {}, h("tr", {}, ["column", "verdict", "what decided", "missing", "what was measured"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, found.map((one) => h("tr", {},
      h("th", { scope: "row" }, declared.has(one.name) ? featureLink(problem, one.name) : one.name),
      h("td", {}, verdict(one.verdict)), h("td", {}, change(one)), h("td", {}, missing(one.nulls)),
      h("td", { class: "words" }, one.message || "like the reference"))))));
}

/** What decided the verdict on a column, as a share of what is allowed. */
function change({ cause }) {
  if (!cause) return "";
  const share = cause.share ?? Infinity;
  return h("span", { class: "share", title: `${cause.check}: ${cause.share == null ? "beyond any number" : measured(cause.share)} times its limit` },
    h("span", { class: `bar limit ${share >= 1 ? "over" : ""}`, "aria-hidden": "true" }, h("span", { css: { width: `${Math.min(100, 50 * share)}%` } })),
    h("span", { class: "value" }, `${cause.check.replaceAll("_", " ")} ${cause.share == null ? "beyond its limit" : `${percent(share)} of limit`}`));
}

function missing(nulls) {
  if (!nulls) return "";
  const [before, now] = nulls;
  return before === now ? percent(now) : `${percent(before)} → ${percent(now)}`;
}

function online({ mismatches, present, features }) {
  const text = `${number(mismatches)} of ${number(present)} online values differ from those for training, in ${plural(features, "feature")}.`;
  return h("p", { class: mismatches ? "unreadable" : null }, text, mismatches ? [" ", h("code", {}, "kedro features check")] : null);
}
