// A report that was written as Markdown: headings, paragraphs, lists, tables, code, bold text and plots.

import { isAborted } from "./ask.js";
import { h } from "./dom.js";
import { empty, reportPath } from "./parts.js";

/** Fill the page. */
export async function report(main, { at }) {
  const [problem, model, result, file] = (at ?? "").split("/");
  try {
    const response = await fetch(reportPath(problem, model, result, file));
    if (!response.ok) throw new Error((await response.json()).message);
    const place = (name) => reportPath(problem, model, result, name);
    main.replaceChildren(h("article", { class: "report", "aria-label": `Report ${file}` }, markdown(await response.text(), place)));
  } catch (error) {
    if (!isAborted(error)) main.replaceChildren(empty("It cannot be shown", error.message));
  }
}

/** Markdown as elements; `place` says where a file beside it is. */
function markdown(text, place) {
  return blocks(text.replaceAll("\r", "").split("\n")).map((lines) => block(lines, place));
}

/** Lines that belong together: until an empty line, a heading alone, and code from fence to fence. */
function blocks(lines) {
  const found = [[]];
  let isCode = false;
  for (const line of lines) {
    const isFence = line.startsWith("```");
    if (isFence) isCode = !isCode;
    if ((isFence && isCode) || (!isCode && line.startsWith("#"))) found.push([line]);
    else if (isCode || line.trim()) found.at(-1).push(line);
    if (!isCode && (isFence || line.startsWith("#") || !line.trim())) found.push([]);
  }
  return found.filter((one) => one.length);
}

function block(lines, place) {
  const text = lines.join("\n");
  const heading = text.match(/^(#{1,4}) (.*)$/);
  if (heading) return h(`h${heading[1].length}`, {}, inline(heading[2], place));
  if (text.startsWith("```")) return h("pre", { class: "yaml", tabindex: "0", role: "region", "aria-label": "Code" }, h("code", {}, lines.slice(1, -1).join("\n")));
  if (lines.length > 1 && /^\|[\s:|-]+\|$/.test(lines[1])) return table(lines, place);
  if (lines.every((one) => /^(- | {2})/.test(one))) return h("ul", {}, text.split(/\n(?=- )/).map((one) => h("li", {}, inline(one.slice(2), place))));
  return h("p", {}, inline(text, place));
}

function table([head, align, ...rows], place) {
  const cells = (line) => line.slice(1, line.lastIndexOf("|")).split("|").map((one) => one.trim());
  const right = cells(align).map((one) => one.endsWith(":"));
  const row = (name, line) => h("tr", {}, cells(line).map((one, at) => h(name, { class: right[at] ? "right" : null, scope: name === "th" ? "col" : null }, inline(one, place))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${cells(head).join(", ")}` },
    h("table", { class: "metrics" }, h("thead", {}, row("th", head)), h("tbody", {}, rows.map((line) => row("td", line)))));
}

const PARTS = /(`[^`]+`|\*\*[^*]+\*\*|!?\[[^\]]*\]\([^)\s]+\))/;

function inline(text, place) {
  return text.split(PARTS).map((one, at) => (at % 2 ? part(one, place) : one));
}

function part(text, place) {
  if (text.startsWith("`")) return h("code", {}, text.slice(1, -1));
  if (text.startsWith("**")) return h("b", {}, text.slice(2, -2));
  const [, image, words, target] = text.match(/^(!?)\[([^\]]*)\]\(([^)]+)\)$/);
  const isBeside = /^[\w.-]+$/.test(target);
  if (image) return isBeside ? h("img", { src: place(target), alt: words }) : words;
  return isBeside ? h("a", { href: place(target), target: "_blank", rel: "noopener" }, words) : words;
}
