// Where a feature comes from and who reads it, drawn from left to right, or downwards where there is no room.

import { h, s } from "./dom.js";
import { address, featureAddress, go, isPlain, read } from "./state.js";

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
  const [sources, readers] = [few(sourcesOf(one)), few(readersOf(one))];
  const feature = { sort: "feature", title: own(one.name), note: one.view };
  const names = [...one.read_by, ...one.models, ...one.bundles];
  const said = `${sources.map((node) => node.name ?? node.title).join(", ")}, then ${one.name}, read by ${names.join(", ") || "no model"}`;
  return (isWide ? across : down)(sources, feature, readers, said);
}

function sourcesOf(one) {
  if (one.reads.length) return one.reads.map((name) => featureNode(one.problem, name));
  if (one.on_demand) return [{ sort: "request", title: "request" }];
  const note = /\s/.test(one.source) ? "query" : one.source.split("/").at(-1);
  return [{ sort: one.table ? "table" : "request", title: one.table || "request", note }];
}

function readersOf(one) {
  const wasRun = (name) => name in one.importances || name in one.drifts;
  const names = [...one.models.filter(wasRun), ...one.models.filter((name) => !wasRun(name))];
  const models = names.map((name) => ({ sort: "model", title: name, label: `Model ${name}`, to: { page: "models", at: `${one.problem}/${name}` } }));
  const bundles = one.bundles.map((name) => ({ sort: "bundle", title: name.split(":")[0], note: `bundle ${name.split(":")[1] ?? ""}` }));
  const all = [...one.read_by.map((name) => featureNode(one.problem, name)), ...bundles, ...models];
  return all.length ? all : [{ sort: "nobody", title: "no model reads it" }];
}

function featureNode(problem, name) {
  return { sort: "table", title: own(name), note: name.slice(0, name.indexOf(".")), name, label: `Feature ${name}`, to: { open: { problem, name } } };
}

const own = (name) => name.slice(name.indexOf(".") + 1);

function few(nodes) {
  return nodes.length <= MOST ? nodes : [...nodes.slice(0, MOST - 1), { sort: "nobody", title: `${nodes.length - MOST + 1} more` }];
}

const heightOf = (node) => (node.note ? HEIGHT : SMALL);
const heightOfAll = (nodes) => nodes.reduce((sum, node) => sum + heightOf(node) + GAP, -GAP);

/** Nodes one below the other, from `y` on. */
function stack(nodes, x, y) {
  return nodes.map((node) => {
    const placed = { node, x, y };
    y += heightOf(node) + GAP;
    return placed;
  });
}

function across(sources, feature, readers, said) {
  const height = Math.max(HEIGHT, heightOfAll(sources), heightOfAll(readers));
  const middle = height / 2;
  const [second, third] = [WIDTH + BETWEEN, 2 * (WIDTH + BETWEEN)];
  const left = stack(sources, 0, middle - heightOfAll(sources) / 2);
  const right = stack(readers, third, middle - heightOfAll(readers) / 2);
  const edges = [...left.map(({ node, y }) => edge(WIDTH, y + heightOf(node) / 2, second, middle)),
    ...right.map(({ node, y }) => edge(second + WIDTH, middle, third, y + heightOf(node) / 2))];
  return drawing(third + WIDTH, height, said, edges, [...left, { node: feature, x: second, y: middle - HEIGHT / 2 }, ...right]);
}

/** The sources, then the feature, then its readers: set in, each with a line from the one they are connected to. */
function down(sources, feature, readers, said) {
  const indent = 28;
  const left = stack(sources, 0, 0);
  const at = heightOfAll(sources) + 22;
  const right = stack(readers, indent, at + HEIGHT + GAP);
  const spine = indent / 2;
  const last = left.at(-1);
  const edges = [`M${spine} ${last.y + heightOf(last.node)}V${at}`,
    ...right.map(({ node, x, y }) => `M${spine} ${at + HEIGHT}V${y + heightOf(node) / 2}H${x}`)];
  return drawing(WIDTH + indent, at + HEIGHT + GAP + heightOfAll(readers), said, edges, [...left, { node: feature, x: 0, y: at }, ...right]);
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
  if (!node.to) return s("g", group, content);
  const href = node.to.open ? featureAddress(node.to.open.problem, node.to.open.name) : address(node.to);
  const follow = (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    go(node.to.open ? { ...read(), ...node.to } : node.to);
  };
  return s("a", { ...group, href, "aria-label": node.label, onclick: follow }, content);
}

function shortened(text, more = 0) {
  const most = CHARACTERS + more;
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
