// How values are distributed, as bars.

import { h, s } from "./dom.js";
import { share } from "./parts.js";
import { measured, number, percent, plural } from "./words.js";

const HEIGHT = 96;
const SHOWN = [["min", "smallest"], ["q25", "25%"], ["median", "median"], ["q75", "75%"], ["max", "largest"], ["mean", "mean"], ["std", "std. deviation"]];

/** A sketch of a distribution, or why there is none. */
export function distribution(found) {
  if (found.nothing) return h("p", { class: "dim" }, found.nothing, " ", h("code", {}, "kedro run"));
  if (found.unreadable) return h("p", { class: "unreadable" }, `The values cannot be read: ${found.unreadable}`);
  const present = found.rows - found.nulls;
  const missing = found.rows ? found.nulls / found.rows : 0;
  return h("div", { class: "distribution" },
    present === 0 ? h("p", { class: "dim" }, "No row has a value.") : drawn(found, present),
    h("p", { class: "dim" }, `${plural(found.rows, "row")} of the ${found.place}; `, found.nulls ? `${percent(missing)} missing (${number(found.nulls)})` : "none missing"));
}

function drawn(found, present) {
  if (found.kind === "categories") return categories(found, present);
  if (found.kind === "other" || !found.bars.length) return h("p", { class: "dim" }, "Values of this type are not drawn.");
  return [found.kind === "lengths" ? h("p", { class: "dim" }, "Length of the vectors") : null, numbers(found)];
}

function numbers({ bars, figures }) {
  const most = Math.max(...bars.map((bar) => bar.count));
  const [low, high] = [bars[0].low, bars.at(-1).high];
  const text = SHOWN.filter(([key]) => figures[key] != null).map(([key, name]) => `${name} ${measured(figures[key])}`).join(", ");
  const at = (value) => 100 * Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
  const width = 100 / bars.length;
  const drawing = s("svg", { class: "bars", viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Histogram: ${text}` },
    bars.map((bar, position) => {
      const height = bar.count ? Math.max(1.5, (HEIGHT - 4) * bar.count / most) : 0;
      return s("rect", { x: position * width + width * 0.06, width: width * 0.88, y: HEIGHT - height, height },
        s("title", {}, `${measured(bar.low)} to ${measured(bar.high)}: ${number(bar.count)}`));
    }),
    s("line", { class: "median", x1: at(figures.median), x2: at(figures.median), y1: 0, y2: HEIGHT }));
  const ends = h("p", { class: "ends", "aria-hidden": "true" }, h("span", {}, measured(low)), h("span", {}, measured(high)));
  return h("div", {}, drawing, ends, h("dl", { class: "quantiles" }, SHOWN.filter(([key]) => figures[key] != null).map(([key, name]) => h("div", {}, h("dt", {}, name), h("dd", {}, measured(figures[key]))))));
}

function categories({ bars, rest, distinct }, present) {
  const rows = bars.map((bar) => [bar.value === "" ? "(empty text)" : bar.value, bar.count, false]);
  if (rest) rows.push([`${number(distinct - bars.length)} others`, rest, true]);
  const most = Math.max(...rows.map(([, count]) => count)) / present;
  return h("table", { class: "categories" }, h("thead", { class: "unseen" }, h("tr", {}, h("th", {}, "value"), h("th", {}, "share"))),
    h("tbody", {}, rows.map(([value, count, others]) =>
      h("tr", { class: others && "others" }, h("th", { scope: "row", title: value }, value), h("td", {}, share(count / present, most))))));
}
