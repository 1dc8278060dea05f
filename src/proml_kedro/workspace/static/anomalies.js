// What was unusual of figures over time, and what people say of it.

import { tell } from "./ask.js";
import { band } from "./band.js";
import { h, say, show } from "./dom.js";
import { empty } from "./parts.js";
import { measured, moment, percent } from "./words.js";

const ANSWERS = [["anomaly", "True anomaly"], ["new-trend", "New trend"], ["false-alarm", "False alarm"], ["undecided", "To be determined"]];
const HEADINGS = ["metric", "dimension", "from", "duration", "current average", "baseline average", "change", "is this an anomaly?"];

/** Anomalies of all problems. */
export function anomalies({ boards, unreadable }) {
  const lines = unreadable.map((line) => h("p", { class: "unreadable" }, line));
  if (!boards.length) return [lines, empty("No figures were looked at yet", "Figures over time are declared in monitoring.anomalies.", "kedro anomalies detect")];
  return [lines, boards.map(card)];
}

function card(board) {
  const { found, problem } = board;
  const drawn = h("div", { class: "drawn" });
  const draw = (one) => show(drawn, chart(board, one));
  if (found.anomalies.length) draw(found.anomalies[0]);
  return h("article", { class: "card anomalies", "aria-label": `Anomalies of ${problem}` },
    h("header", {}, h("h2", {}, "Anomalies"), h("span", { class: "dim" }, problem, " · until ", moment(board.until))),
    found.watched.map((one) => h("p", { class: "dim" }, `${one.monitor}: ${percent(one.judged)} of ${one.series} × ${one.periods} periods could be judged`)),
    found.notices.map((notice) => h("p", { class: "dim" }, notice)),
    found.anomalies.length ? table(board, draw) : h("p", {}, "Nothing was unusual."),
    drawn);
}

function table({ found, problem }, draw) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Anomalies of ${problem}` }, h("table", { class: "metrics" },
    h("thead", {}, h("tr", {}, HEADINGS.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, found.anomalies.map((one) => h("tr", { "data-id": one.id },
      h("th", { scope: "row" }, h("button", { type: "button", class: "link", onclick: () => draw(one) }, one.monitor, h("span", { class: "unseen" }, `: draw ${one.id}`))),
      h("td", {}, name(one)), h("td", {}, moment(one.begin)), h("td", {}, duration(one)), h("td", {}, measured(one.current)), h("td", {}, measured(one.expected)),
      h("td", {}, change(one)), h("td", {}, answers(problem, one)))))));
}

const name = ({ dimension, value }) => (value ? `${dimension} = ${value}` : dimension);

function change({ current, expected }) {
  if (!expected) return "";
  const share = (current - expected) / Math.abs(expected);
  return `${share > 0 ? "+" : ""}${(100 * share).toFixed(1)}%`;
}

function duration({ begin, end }) {
  const minutes = (Date.parse(end) - Date.parse(begin)) / 60000;
  const [size, unit] = [[1440, "d"], [60, "h"]].find(([length]) => minutes % length === 0) ?? [1, "min"];
  return `${minutes / size} ${unit}`;
}

/** Four buttons; the one that counts is pressed. What is clicked is stored before it is shown as such. */
function answers(problem, one) {
  const said = h("small", { class: "who" }, one.answer ? one.answer.who : "");
  const buttons = ANSWERS.map(([answer, text]) => h("button", { type: "button", "data-answer": answer, "aria-pressed": String(one.answer?.answer === answer), onclick: () => keep(answer, text) }, text));
  async function keep(answer, text) {
    try {
      one.answer = await tell("answer", { problem, id: one.id, answer });
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.answer === answer));
      show(said, one.answer.who);
      say(`Kept: ${text}`);
    } catch (error) {
      show(said, `Not kept: ${error.message}`);
      say(`Not kept: ${error.message}`);
    }
  }
  return h("div", { class: "answers", role: "group", "aria-label": `Is ${one.monitor}, ${name(one)}, an anomaly?` }, buttons, said);
}

function chart({ charts, found }, one) {
  const same = (other) => other.monitor === one.monitor && other.dimension === one.dimension && other.value === one.value;
  const drawn = charts.find(same);
  const title = h("h3", {}, `${one.monitor}, ${name(one)}`);
  return [title, drawn ? band(drawn, found.anomalies.filter(same)) : h("p", { class: "dim" }, "Of older anomalies of many values no chart is kept."), h("p", { class: "dim" }, "Why it was so: ", h("code", {}, `kedro anomalies explain ${one.id}`))];
}
