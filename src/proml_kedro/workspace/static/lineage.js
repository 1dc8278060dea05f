// Where a feature comes from and who reads it, drawn from left to right, or downwards where there is no room.

import { h, s } from "./dom.js";
import { address, go, isPlain } from "./state.js";

const MOST = 9;
const [WIDTH, HEIGHT, GAP, SMALL] = [172, 46, 10, 30];
const [BETWEEN, CHARACTERS] = [36, 20];

/** A drawing that follows the width of its place. */
export function lineage(one) {
  const place = h("div", { class: "lineage" });
  new ResizeObserver(([entry]) => {
    const isWide = entry.contentRect.width >= 3 * WIDTH + 2 * BETWEEN;
    if (place.dataset.wide === String(isWide)) return;
    place.dataset.wide = String(isWide);
    place.replaceChildren(draw(one, isWide));
  }).observe(place);
  return place;
}

function draw(one, isWide) {
  const readers = readersOf(one);
  const source = { sort: one.table ? "table" : "request", title: one.table || "request", note: file(one.source) };
  const feature = { sort: "feature", title: one.name.slice(one.name.indexOf(".") + 1), note: one.view };
  const said = `${source.title}, then ${one.name}, read by ${[...one.models, ...one.bundles].join(", ") || "no model"}`;
  return (isWide ? across : down)([source, feature], readers, said);
}

function readersOf(one) {
  const bundles = one.bundles.map((name) => ({ sort: "bundle", title: name.split(":")[0], note: `bundle ${name.split(":")[1] ?? ""}` }));
  const models = one.models.map((name) => ({ sort: "model", title: name, href: address({ page: "models", at: `${one.problem}/${name}` }) }));
  const all = [...bundles, ...models];
  if (!all.length) return [{ sort: "nobody", title: "no model reads it" }];
  return all.length <= MOST ? all : [...all.slice(0, MOST - 1), { sort: "nobody", title: `${all.length - MOST + 1} more` }];
}

const file = (source) => source.split("/").at(-1);

function heightOf(node) {
  return node.note ? HEIGHT : SMALL;
}

function stack(nodes) {
  return nodes.reduce((sum, node) => sum + heightOf(node) + GAP, -GAP);
}

function across(nodes, readers, said) {
  const height = Math.max(HEIGHT, stack(readers));
  const width = 3 * WIDTH + 2 * BETWEEN;
  const middle = height / 2;
  const placed = nodes.map((node, column) => ({ node, x: column * (WIDTH + BETWEEN), y: middle - heightOf(node) / 2 }));
  let y = (height - stack(readers)) / 2;
  for (const node of readers) {
    placed.push({ node, x: 2 * (WIDTH + BETWEEN), y });
    y += heightOf(node) + GAP;
  }
  const edges = [edge(WIDTH, middle, WIDTH + BETWEEN, middle),
    ...placed.slice(2).map(({ node, x, y: top }) => edge(2 * WIDTH + BETWEEN, middle, x, top + heightOf(node) / 2))];
  return drawing(width, height, said, edges, placed);
}

function down(nodes, readers, said) {
  const placed = [];
  let y = 0;
  for (const node of nodes) {
    placed.push({ node, x: 0, y });
    y += heightOf(node) + 22;
  }
  const spine = 14;
  const [first, second] = placed;
  const end = second.y + HEIGHT;
  y = end + GAP;
  for (const node of readers) {
    placed.push({ node, x: 2 * spine, y });
    y += heightOf(node) + GAP;
  }
  const edges = [`M${spine} ${first.y + HEIGHT}V${second.y}`,
    ...placed.slice(2).map(({ node, x, y: top }) => `M${spine} ${end}V${top + heightOf(node) / 2}H${x}`)];
  return drawing(WIDTH + 60, y - GAP, said, edges, placed);
}

function edge(x1, y1, x2, y2) {
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

function drawing(width, height, said, edges, placed) {
  return s("svg", { viewBox: `-1 -1 ${width + 2} ${height + 2}`, width: width + 2, height: height + 2, role: "group", "aria-label": `Lineage: ${said}` },
    edges.map((path) => s("path", { class: "edge", d: path })), placed.map(box));
}

function box({ node, x, y }) {
  const height = heightOf(node);
  const content = [
    s("title", {}, node.note ? `${node.title} (${node.note})` : node.title),
    s("rect", { width: WIDTH, height, rx: 7 }),
    s("text", { x: 12, y: node.note ? 19 : height / 2 + 4.5 }, shortened(node.title)),
    node.note ? s("text", { class: "note", x: 12, y: 36 }, shortened(node.note, 2)) : null,
  ];
  const group = { class: `node ${node.sort}`, transform: `translate(${x} ${y})` };
  if (!node.href) return s("g", group, content);
  const follow = (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    const url = new URL(node.href, location.href);
    go({ page: "models", at: url.searchParams.get("at") });
  };
  return s("a", { ...group, href: node.href, "aria-label": `Model ${node.title}`, onclick: follow }, content);
}

function shortened(text, more = 0) {
  const most = CHARACTERS + more;
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
