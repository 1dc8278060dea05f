// A figure over time beside the band of what was to be expected.

import { h, s } from "./dom.js";
import { measured } from "./words.js";

const [WIDTH, HEIGHT] = [640, 150];

/** The chart of a figure; periods of its anomalies are marked. */
export function band(chart, anomalies) {
  const known = [chart.values, chart.low, chart.high].flat().filter((one) => one != null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const x = (place) => (WIDTH * place) / Math.max(chart.values.length - 1, 1);
  const y = (value) => HEIGHT - 4 - ((HEIGHT - 8) * (value - low)) / (high - low || 1);
  const points = (values) => values.flatMap((value, place) => (value == null ? [] : [`${x(place).toFixed(1)},${y(value).toFixed(1)}`]));
  const begin = Date.parse(chart.begin);
  const at = (place) => begin + place * chart.every_seconds * 1000;
  const day = (place) => new Date(at(place)).toISOString().slice(0, 10);
  const isBad = (place) => (chart.values[place] > (chart.high[place] ?? Infinity) || chart.values[place] < (chart.low[place] ?? -Infinity))
    && anomalies.some((one) => Date.parse(one.begin) <= at(place) && at(place) < Date.parse(one.end));
  const bad = chart.values.flatMap((value, place) => (value != null && isBad(place) ? [place] : []));
  const label = `${chart.monitor} from ${day(0)} to ${day(chart.values.length)}: ${bad.length} unusual periods`;
  const drawing = s("svg", { class: "band", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    s("polygon", { class: "expected-band", points: [...points(chart.high), ...points(chart.low).reverse()].join(" ") }),
    s("polyline", { class: "expected", points: points(chart.expected).join(" ") }),
    s("polyline", { class: "figure", points: points(chart.values).join(" ") }),
    bad.map((place) => s("circle", { class: "bad", cx: x(place), cy: y(chart.values[place]), r: 4 },
      s("title", {}, `${new Date(at(place)).toISOString().slice(0, 16).replace("T", " ")}: ${measured(chart.values[place])}, expected ${measured(chart.expected[place])}`))));
  return h("div", { class: "band-chart" }, drawing,
    h("p", { class: "ends", "aria-hidden": "true" }, h("span", {}, day(0)), h("span", {}, `${measured(low)} to ${measured(high)}`), h("span", {}, day(chart.values.length))));
}
