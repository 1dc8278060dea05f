// One feature: what it is, where it comes from, who reads it, and how its values are.

import { ask, isAborted } from "./ask.js";
import { distribution } from "./chart.js";
import { copy, h, show } from "./dom.js";
import { lineage } from "./lineage.js";
import { featureLink, featureName, share, time, verdict } from "./parts.js";
import { number, percent } from "./words.js";
import { yaml } from "./yaml.js";

export class Detail {
  /** `close` is called when it is to be closed. */
  constructor(close) {
    this.close = close;
    this.element = h("article", { class: "detail", "aria-label": "Feature", hidden: true });
    this.key = null;
  }

  /** Show a feature, or nothing. */
  show(open, again) {
    const key = open && `${open.problem}/${open.name}`;
    if (key === this.key && !again) return;
    const same = key === this.key;
    this.key = key;
    this.element.hidden = !open;
    if (!open) this.element.replaceChildren();
    else this.load(open, same);
  }

  focus() {
    this.wantsFocus = true;
    this.heading?.focus({ preventScroll: true });
  }

  copyYaml() {
    this.copyButton?.click();
  }

  async load({ problem, name }, same) {
    if (!same) {
      this.heading = this.copyButton = null;
      this.element.replaceChildren(h("p", { class: "loading", role: "status" }, "Loading…"));
      this.element.scrollTop = 0;
    }
    const params = { name, problem };
    const top = this.element.scrollTop;
    try {
      this.render(await ask("feature", params));
      await Promise.all([
        this.later("distribution", params, (found) => distribution(found)),
        this.later("similar", params, (found) => similar(found)),
      ]);
      if (same) this.element.scrollTop = top;
    } catch (error) {
      if (!isAborted(error)) this.element.replaceChildren(this.head(h("h2", { tabindex: "-1" }, name)), h("p", { class: "unreadable" }, error.message));
    }
  }

  async later(what, params, draw) {
    const place = this.element.querySelector(`[data-later=${what}]`);
    try {
      place.replaceChildren(draw(await ask(what, params)));
    } catch (error) {
      if (!isAborted(error)) place.replaceChildren(h("p", { class: "dim" }, error.message));
    }
  }

  head(heading) {
    this.heading = heading;
    return h("header", {}, heading, h("button", { type: "button", class: "quiet close", "aria-label": "Close", title: "Close (Esc)", onclick: this.close }, "×"));
  }

  render(one) {
    const heading = h("h2", { tabindex: "-1", id: "feature-name" }, featureName(one.name));
    this.element.setAttribute("aria-label", `Feature ${one.name}`);
    show(this.element,
      this.head(heading),
      h("p", { class: one.description ? "lead" : "lead none" }, one.description || "No description. Say what it means, and others will find it."),
      figures(one),
      section("Values", h("div", { "data-later": "distribution" }, h("p", { class: "dim" }, "Looking at the values…"))),
      section("Lineage", lineage(one)),
      section("Declaration", this.declaration(one)),
      facts(one),
      Object.keys(one.importances).length ? section("Importance", importances(one)) : null,
      Object.keys(one.drifts).length ? section("Drift", drifts(one)) : null,
      section("Similar features", h("div", { "data-later": "similar" }, h("p", { class: "dim" }, "Comparing…"))));
    if (this.wantsFocus) heading.focus({ preventScroll: true });
    this.wantsFocus = false;
  }

  declaration(one) {
    if (!one.yaml) return h("p", { class: "dim" }, "It is not declared in a file of this project.");
    this.copyButton = h("button", { type: "button", "aria-keyshortcuts": "y", onclick: (event) => copy(one.yaml, event.currentTarget) }, "Copy as YAML");
    return h("div", { class: "declaration" }, h("p", { class: "place" }, h("code", {}, one.place), this.copyButton), yaml(one.yaml));
  }
}

const section = (title, ...content) => h("section", {}, h("h3", {}, title), ...content);

function figures(one) {
  const fresh = one.newest && !["does not change", "with the request", "on demand"].includes(one.freshness);
  const items = [
    ["Newest value", fresh ? time(one.newest) : one.freshness || "unknown", fresh ? one.newest.slice(0, 10) : one.rows && `${number(one.rows)} rows`],
    ["Missing", one.null_share == null ? "unknown" : percent(one.null_share), one.null_share != null && "of the examples"],
    ["Drift", one.drift ? verdict(one.drift) : "not checked", one.drift && "last check"],
    ["Importance", one.importance == null ? "unknown" : percent(one.importance), one.importance != null && "at most, of a model"],
  ];
  return h("dl", { class: "figures" }, items.map(([title, value, note]) => h("div", {}, h("dt", {}, title), h("dd", {}, value, note ? h("small", {}, note) : null))));
}

function facts(one) {
  const items = [
    ["Definition", h("code", {}, one.definition)],
    ["Problem", one.problem],
    ["Type", `${one.dtype}, ${one.feature_type}`],
    ["Key", one.on_demand ? "none: computed from other features for each request" : one.entity === "request" ? "none: sent with each request" : one.entity.replaceAll(",", ", ")],
    ["Window", one.window && (one.snapshot ? `${one.window}, changes every ${one.snapshot}` : one.window)],
    ["Known after", one.delay],
    ["Good for", one.ttl],
    ["Owner", one.owner || "nobody"],
    ["Tags", one.tags],
  ];
  return section("Facts", h("dl", { class: "facts" }, items.filter(([, value]) => value).map(([title, value]) => [h("dt", {}, title), h("dd", {}, value)])));
}

function importances(one) {
  return h("table", { class: "plain" }, h("thead", { class: "unseen" }, h("tr", {}, h("th", {}, "model"), h("th", {}, "share"))),
    h("tbody", {}, Object.entries(one.importances).map(([model, value]) => h("tr", {}, h("th", { scope: "row" }, model), h("td", {}, share(value))))));
}

function drifts(one) {
  return h("table", { class: "plain" }, h("thead", { class: "unseen" }, h("tr", {}, h("th", {}, "model"), h("th", {}, "verdict"), h("th", {}, "measured"))),
    h("tbody", {}, Object.entries(one.drifts).map(([model, found]) =>
      h("tr", {}, h("th", { scope: "row" }, model), h("td", {}, verdict(found.verdict)), h("td", {}, found.message || "like the reference")))));
}

function similar(found) {
  if (!found.length) return h("p", { class: "dim" }, "None: nothing says, computes or holds nearly the same.");
  return h("ul", { class: "similar" }, found.map((one) => h("li", {},
    featureLink(one.problem, one.name),
    h("span", { class: "why" },
      one.likeness == null ? null : h("span", { title: "Common words of name, description and definition" }, `${percent(one.likeness)} alike`),
      one.correlation == null ? null : h("span", { title: "Pearson's correlation of the values in the training set" }, `correlation ${one.correlation.toFixed(2)}`)),
    one.description ? h("small", {}, one.description) : null)));
}
