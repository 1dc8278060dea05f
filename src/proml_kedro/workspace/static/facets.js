// Values to narrow a search down by, with how many features each would leave.

import { h } from "./dom.js";
import { FACETS } from "./state.js";
import { facetValue, number } from "./words.js";

const FEW = 7;
const wide = matchMedia("(min-width: 900px)");

export class Facets {
  /** `choose` is called with a facet and a value. */
  constructor(choose) {
    this.choose = choose;
    this.all = new Set();
    this.summary = h("summary", {}, "Filters");
    this.body = h("div", {});
    this.element = h("details", { class: "facets", "aria-label": "Filters", open: wide.matches }, this.summary, this.body);
    wide.addEventListener("change", () => { this.element.open = wide.matches; });
  }

  render(facets, filters) {
    const held = this.body.contains(document.activeElement) ? document.activeElement.id : null;
    this.last = [facets, filters];
    const chosen = Object.keys(filters).length;
    this.summary.textContent = chosen ? `Filters (${chosen})` : "Filters";
    this.body.replaceChildren(...Object.entries(FACETS).map(([name, title]) => this.facet(name, title, facets[name] ?? [], filters)).filter(Boolean));
    if (held) document.getElementById(held)?.focus();
  }

  facet(name, title, counted, filters) {
    const chosen = filters[name];
    if (counted.length < 2 && chosen === undefined) return null;
    const shown = this.all.has(name) ? counted : counted.filter(([value], position) => position < FEW || value === chosen);
    return h("fieldset", {}, h("legend", {}, title),
      shown.map(([value, count]) => this.value(name, value, count, value === chosen)),
      counted.length > shown.length || this.all.has(name) ? this.toggle(name, counted.length - shown.length) : null);
  }

  value(name, value, count, pressed) {
    return h("button", { type: "button", id: `facet-${name}-${value}`.replaceAll(/\s/g, "-"), "aria-pressed": String(pressed), onclick: () => this.choose(name, value) },
      h("span", { class: "value" }, facetValue(name, value)), h("span", { class: "number" }, number(count)));
  }

  toggle(name, hidden) {
    const flip = () => {
      if (!this.all.delete(name)) this.all.add(name);
      this.render(...this.last);
    };
    return h("button", { type: "button", class: "rest", id: `rest-${name}`, "aria-expanded": String(this.all.has(name)), onclick: flip },
      this.all.has(name) ? "fewer" : `${hidden} more`);
  }
}
