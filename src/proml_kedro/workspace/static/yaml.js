// YAML with its keys and comments set apart.

import { h } from "./dom.js";

/** A block of YAML, as it is. */
export function yaml(text) {
  return h("pre", { class: "yaml", tabindex: "0", role: "region", "aria-label": "Declaration in YAML" }, h("code", {}, text.trimEnd().split("\n").map(line)));
}

function line(text) {
  const [, indent, key, rest] = text.match(/^(\s*(?:- )?)([\w"'.-]+:)?(.*)$/s);
  const comment = rest.search(/(^|\s)#/);
  const value = comment < 0 ? rest : rest.slice(0, comment);
  const keys = value.split(/([\w.-]+:(?=\s))/).map((part, position) => (position % 2 ? h("span", { class: "key" }, part) : part));
  const isFlow = value.includes("{");
  return [indent, key ? h("span", { class: "key" }, key) : null, isFlow ? keys : value, comment < 0 ? null : h("span", { class: "comment" }, rest.slice(comment)), "\n"];
}
