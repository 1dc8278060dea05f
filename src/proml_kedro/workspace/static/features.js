// Find a feature: words, facets, results; and the open one beside them.

import { ask, isAborted } from "./ask.js";
import { Detail } from "./detail.js";
import { h, isTyping } from "./dom.js";
import { Facets } from "./facets.js";
import { empty, featureName, share, verdict } from "./parts.js";
import { FACETS, address, go, isPlain, read } from "./state.js";
import { facetValue, number, percent, plural, queryWords } from "./words.js";

export class Features {
  constructor() {
    this.input = h("input", {
      type: "search", id: "q", name: "q", placeholder: "Search features by name, description, owner, key or tag",
      "aria-label": "Search features", autocomplete: "off", spellcheck: "false", "aria-keyshortcuts": "/",
      oninput: () => this.type(), onkeydown: (event) => this.onInputKey(event),
    });
    this.count = h("p", { class: "count", role: "status" });
    this.chips = h("div", { class: "chips" });
    this.list = h("ol", { class: "results", "aria-label": "Results", onkeydown: (event) => this.onListKey(event) });
    this.more = h("div", { class: "more" });
    this.facets = new Facets((name, value) => this.filter(name, value));
    this.detail = new Detail(() => this.close());
    this.element = h("div", { class: "features" },
      h("div", { class: "searchbar" },
        h("h1", { class: "unseen" }, "Features"),
        h("div", { class: "field", role: "search" }, this.input, h("kbd", { "aria-hidden": "true" }, "/"))),
      this.facets.element,
      h("section", { class: "found", "aria-label": "Found features" }, h("div", { class: "line" }, this.count, this.chips), this.list, this.more),
      this.detail.element);
    document.addEventListener("keydown", (event) => this.onKey(event));
    this.asked = null;
  }

  /** Show a state; `again` asks anew even if it is the one that is shown. */
  show(state, again) {
    if (this.input.value.trim() !== state.q) this.input.value = state.q;
    this.element.classList.toggle("open", state.open !== null);
    this.detail.show(state.open, again);
    for (const link of this.links()) this.markOpen(link, state);
    const asked = address({ ...state, open: null });
    if (asked !== this.asked || again) {
      this.asked = asked;
      this.search(state);
    }
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  async search(state) {
    try {
      const found = await ask("search", { q: state.q, limit: state.shown, ...state.filters });
      this.render(found, state);
    } catch (error) {
      if (!isAborted(error)) this.count.textContent = `The search failed: ${error.message}`;
    }
  }

  render(found, state) {
    const held = this.list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const words = queryWords(state.q);
    const most = Math.max(...found.features.map((one) => one.importance ?? 0));
    const all = found.total === found.of;
    this.count.replaceChildren(
      h("b", {}, number(found.total)), all ? ` ${found.total === 1 ? "feature" : "features"}` : ` of ${plural(found.of, "feature")}`,
      h("span", { class: "took", "aria-hidden": "true" }, ` · ${found.milliseconds.toFixed(1)} ms`));
    this.chips.replaceChildren(...this.chipsOf(state));
    this.facets.render(found.facets, state.filters);
    this.list.replaceChildren(...found.features.map((one, position) => this.row(one, state, words, most, position)));
    this.more.replaceChildren(...this.afterwards(found, state));
    const again = this.focusAt === undefined ? held && this.links().find((one) => one.dataset.key === held) : this.links()[this.focusAt];
    again?.focus();
    this.focusAt = undefined;
  }

  chipsOf(state) {
    const chips = Object.entries(state.filters).map(([name, value]) =>
      h("button", { type: "button", class: "chip", "aria-label": `Remove filter ${FACETS[name]}: ${facetValue(name, value)}`, onclick: () => this.unfilter({ [name]: value }) },
        `${FACETS[name]}: ${facetValue(name, value)}`, h("span", { "aria-hidden": "true" }, " ×")));
    if (chips.length > 1) chips.push(h("button", { type: "button", class: "chip all", onclick: () => this.unfilter(state.filters) }, "Clear all"));
    return chips;
  }

  row(one, state, words, most, position) {
    const open = { problem: one.problem, name: one.name };
    const mark = (text) => highlight(text, words);
    const facts = [one.dtype, one.window && `window ${one.window}`, one.on_demand ? "computed on demand" : one.entity === "request" ? "sent with the request" : `by ${one.entity.replaceAll(",", ", ")}`, one.owner];
    const link = h("a", {
      href: address({ ...state, open }), tabindex: position ? "-1" : "0", "data-key": `${one.problem}/${one.name}`,
      onclick: (event) => this.onOpen(event, open), onfocus: (event) => this.rove(event.currentTarget),
    },
    h("span", { class: "head" }, featureName(one.name, mark), one.drift && one.drift !== "ok" ? verdict(one.drift) : null),
    h("span", { class: one.description ? "description" : "description none" }, one.description ? mark(one.description) : "No description"),
    h("span", { class: "facts" }, facts.filter(Boolean).map((fact) => h("span", {}, fact))),
    h("span", { class: "numbers" },
      one.importance == null ? null : h("span", { class: "importance", title: "Largest share in a model" }, h("span", { class: "unseen" }, "importance "), share(one.importance, most)),
      h("span", { class: "readers" }, one.readers ? plural(one.readers, "reader") : "no reader"),
      one.null_share ? h("span", {}, `${percent(one.null_share)} missing`) : null));
    this.markOpen(link, state);
    return h("li", {}, link);
  }

  afterwards(found, state) {
    if (!found.of) return [empty("No features yet", "Declare some in conf/features, and they are found here at once.")];
    if (!found.total) {
      const alone = Object.entries(found.alone);
      const text = alone.length > 1 ? `No feature has all of these words. Alone: ${alone.map(([word, count]) => `${word} ${number(count)}`).join(", ")}.`
        : "Try the beginning of a word, or remove a filter.";
      return [empty("Nothing found", text)];
    }
    if (found.features.length === found.total) return [];
    const next = Math.min(state.shown * 2, 500);
    if (next === state.shown) return [h("p", {}, `${number(state.shown)} shown; add a word to narrow it down.`)];
    return [h("button", { type: "button", onclick: () => this.showMore(state.shown, next) }, `Show more of ${number(found.total)}`)];
  }

  type() {
    go({ ...read(), q: this.input.value.trim(), shown: undefined }, { replace: true });
  }

  filter(name, value) {
    const state = read();
    const filters = { ...state.filters };
    if (filters[name] === value) delete filters[name];
    else filters[name] = value;
    go({ ...state, filters, shown: undefined });
  }

  /** The button that was pressed goes away with the filter; the search is the place to go on from. */
  unfilter(filters) {
    const state = read();
    const kept = Object.entries(state.filters).filter(([name]) => !(name in filters));
    go({ ...state, filters: Object.fromEntries(kept), shown: undefined });
    this.input.focus();
  }

  showMore(shown, next) {
    this.focusAt = shown;
    go({ ...read(), shown: next }, { replace: true });
  }

  onOpen(event, open) {
    if (!isPlain(event)) return;
    event.preventDefault();
    const state = read();
    go({ ...state, open }, { from: "list", replace: state.open !== null && history.state?.from === "list" });
    this.detail.focus();
  }

  close() {
    const { open, ...state } = read();
    if (!open) return;
    if (history.state?.from === "list") history.back();
    else go(state);
    const link = this.links().find((one) => one.dataset.key === `${open.problem}/${open.name}`);
    (link ?? this.input).focus();
  }

  links() {
    return [...this.list.querySelectorAll("a")];
  }

  markOpen(link, { open }) {
    if (open && link.dataset.key === `${open.problem}/${open.name}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }

  /** Of all results, only one is reached with the tab key; the arrows lead to the others. */
  rove(link) {
    for (const one of this.links()) one.tabIndex = one === link ? 0 : -1;
  }

  onInputKey(event) {
    const [first] = this.links();
    if (event.key === "ArrowDown" && first) first.focus();
    else if (event.key === "Enter" && first) first.click();
    else if (event.key === "Escape" && this.input.value) {
      this.input.value = "";
      this.type();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  onListKey(event) {
    const links = this.links();
    const at = links.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    if (to < 0) this.focus();
    else links[Math.min(to, links.length - 1)].focus();
  }

  onKey(event) {
    if (read().page !== "features" || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (read().open) this.close();
      else this.focus();
    } else if (event.key === "y" && !isTyping(event)) this.detail.copyYaml();
  }
}

/** A text with the beginnings of words that were searched for marked. */
function highlight(text, words) {
  if (!words.length || !text) return text;
  const beginnings = new RegExp(`(?<![\\p{L}\\p{N}])(${words.join("|")})`, "giu");
  return text.split(beginnings).map((part, position) => (position % 2 ? h("mark", {}, part) : part));
}
