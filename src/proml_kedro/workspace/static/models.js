// What was run: how good it is, how sure that is, and what it relies on.

import { ask, isAborted } from "./ask.js";
import { h } from "./dom.js";
import { empty, featureLink, fold, interval, report, reportPath, share, time, unreadable } from "./parts.js";
import { measured, moment, number, percent, plural } from "./words.js";

const FEW = 8;
const PLOTS = { "confusion.png": "What is taken for what", "calibration.png": "Calibration", "weeks.png": "By week", "scores.png": "Scores", "importance.png": "Importance" };

/** Fill the page. */
export async function models(main, state) {
  try {
    const found = await ask("models", {}, "page");
    const nothing = empty("Nothing was run yet", "A run trains a model, compares it with a baseline, and leaves both here.", "kedro run");
    main.replaceChildren(h("div", { class: "cards" }, h("h1", {}, "Models"), found.length ? found.map(card) : nothing));
    const wanted = state.at && document.getElementById(state.at);
    wanted?.scrollIntoView();
    wanted?.focus({ preventScroll: true });
  } catch (error) {
    if (!isAborted(error)) main.replaceChildren(empty("Models cannot be shown", error.message));
  }
}

function card(one) {
  const id = `${one.problem}/${one.model}`;
  return h("article", { class: "card", id, tabindex: "-1", "aria-label": `${one.model} for ${one.problem}` },
    h("header", {}, h("h2", {}, one.model), h("span", { class: "dim" }, one.problem, " · ", time(one.made))),
    unreadable(one.unreadable),
    one.metrics ? metrics(one) : one.unreadable.length ? null : h("p", { class: "dim" }, "Not evaluated yet."),
    one.importance.length ? h("section", {}, h("h3", {}, "What it relies on"), importance(one)) : null,
    one.training_set ? h("section", {}, h("h3", {}, "Training set"), splits(one.training_set)) : null,
    h("p", { class: "reports" },
      report(one, "evaluation", "report.md", "Evaluation"), report(one, "bundle", "card.md", "Model card"),
      report(one, "drift", "drift.html", "Drift, by Evidently"), report(one, "evaluation", "metrics.json", "metrics.json")),
    plots(one));
}

function metrics({ metrics: found, higher_is_better: higher, model }) {
  const compared = found.baseline !== null;
  const heads = ["metric", model, ...(compared ? [found.baseline_name ?? "baseline", "difference", `${percent(found.confidence)} interval`, ""] : [])];
  return h("section", {},
    found.verdict ? h("p", {}, h("strong", {}, `${found.verdict.text}.`), found.verdict.advice ? ` ${sentence(found.verdict.advice)}` : null) : null,
    h("p", {}, `${plural(found.rows, "row")} of the test period`, labels(found),
      compared ? `; intervals by ${found.cluster_by}` : null, "."),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Metrics of ${model}` }, h("table", { class: "metrics" },
      h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col", class: text.endsWith("interval") && "range" }, text || h("span", { class: "unseen" }, "meaning"))))),
      h("tbody", {}, Object.entries(found.candidate).map(([name, value]) => metric(name, value, found, higher[name]))))),
    found.ranking ? groups(found.ranking) : null);
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

function labels({ positive_rate: positive, label_mean: mean, class_shares: classes }) {
  if (Object.keys(classes ?? {}).length) return `, ${plural(Object.keys(classes).length, "class", "classes")}`;
  if (positive != null) return `, ${percent(positive)} positive`;
  return mean == null ? null : `, mean label ${measured(mean)}`;
}

function groups({ within, groups: all, without_positive: left }) {
  return h("p", { class: "dim" }, `Ranked within ${within}: ${number(left)} of ${plural(all, "group")} ${left === 1 ? "has" : "have"} no positive row and ${left === 1 ? "is" : "are"} left out.`);
}

function metric(name, value, found, isHigherBetter) {
  const difference = found.differences[name];
  const cells = [h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, fixed(value))];
  if (found.baseline !== null) {
    const [word, colour] = meaning(difference, isHigherBetter, Object.keys(found.candidate)[0] === name, found.confidence);
    const known = difference && difference.low != null && difference.high != null && difference.difference != null;
    cells.push(h("td", {}, fixed(found.baseline[name])), h("td", {}, signed(difference?.difference)),
      h("td", { class: "range" }, known ? [h("span", {}, `${signed(difference.low)} … ${signed(difference.high)}`), interval(difference.low, difference.difference, difference.high, colour)] : "undefined"),
      h("td", { class: `meaning ${colour}` }, word));
  }
  return h("tr", {}, cells);
}

// The first metric decides by its own p-value, others by one that holds for the whole table.
function meaning(difference, isHigherBetter, decides, confidence) {
  if (difference?.low == null || difference.high == null || isHigherBetter == null) return ["", "unclear"];
  const isUnsure = !decides && difference.p_adjusted != null && difference.p_adjusted >= 1 - confidence;
  if (isUnsure || (difference.low <= 0 && difference.high >= 0)) return ["no clear difference", "unclear"];
  return (difference.low > 0) === isHigherBetter ? ["better", "ok"] : ["worse", "drift"];
}

const fixed = (value) => (value == null ? "undefined" : value.toFixed(4));
const signed = (value) => (value == null ? "undefined" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(4)}`);

function importance({ problem, importance: shares, features }) {
  const most = shares[0][1];
  const declared = new Set(features);
  const input = (name) => (declared.has(name) ? featureLink(problem, name) : h("code", {}, name));
  const rows = (some) => h("table", { class: "plain shares" }, h("thead", { class: "unseen" }, h("tr", {}, h("th", {}, "input"), h("th", {}, "share"))),
    h("tbody", {}, some.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, input(name)), h("td", {}, share(value, most))))));
  return [rows(shares.slice(0, FEW)), shares.length > FEW ? fold(`${shares.length - FEW} more`, rows(shares.slice(FEW))) : null];
}

function splits({ rows, splits: found }) {
  if (!Object.keys(found).length) return h("p", {}, plural(rows, "row"));
  return h("div", { class: "scroll" }, h("table", { class: "metrics" },
    h("thead", {}, h("tr", {}, ["split", "rows", "mean label", "from", "to"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, Object.entries(found).map(([name, one]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, number(one.rows)),
      h("td", {}, one.label_mean == null ? "" : measured(one.label_mean)), ...[one.start, one.to].map((text) => h("td", { title: text && moment(text) }, text?.slice(0, 10) ?? "")))))));
}

function plots(one) {
  const files = (one.reports.evaluation ?? []).filter((file) => file.endsWith(".png"));
  const known = Object.keys(PLOTS).filter((file) => files.includes(file));
  const there = [...known, ...files.filter((file) => !(file in PLOTS))].map((file) => [file, PLOTS[file] ?? file.slice(0, -4).replaceAll("_", " ")]);
  if (!there.length) return null;
  const path = (file) => reportPath(one.problem, one.model, "evaluation", file);
  return fold("Plots", h("div", { class: "plots" }, there.map(([file, title]) =>
    h("a", { href: path(file), target: "_blank", rel: "noopener" }, h("img", { src: path(file), alt: `${title} of ${one.model} (new tab)`, loading: "lazy" })))));
}
