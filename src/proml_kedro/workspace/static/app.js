// The frame around the pages: where we are, what is wrong, what has changed, and keys that work everywhere.

import { ask, isAborted } from "./ask.js";
import { h, isTyping } from "./dom.js";
import { Features } from "./features.js";
import { health } from "./health.js";
import { models } from "./models.js";
import { report } from "./report.js";
import { go, isPlain, read } from "./state.js";

const EVERY = 3000;
const PAGES = { models, health, report };
const TITLES = { features: "Features", models: "Models", health: "Health" };

const main = document.getElementById("main");
const features = new Features();
let shown = null;
let version = null;

function show({ again = false } = {}) {
  const state = read();
  const same = shown === state.page;
  for (const link of document.querySelectorAll("nav [data-page]")) {
    if (link.dataset.page === state.page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (state.page === "features") {
    if (!same) main.replaceChildren(features.element);
    features.show(state, again);
  } else if (!same || again) {
    (PAGES[state.page] ?? models)(main, state);
  }
  document.title = `${state.open?.name ?? state.at?.split("/").at(-1) ?? TITLES[state.page] ?? "Features"} · workspace`;
  if (!same && shown !== null) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  shown = state.page;
}

/** Let the server look for changes, and show them. The first time this comes before anything is shown. */
async function look() {
  try {
    const status = await ask("status");
    warn(status);
    if (version !== status.version) show({ again: shown !== null });
    version = status.version;
  } catch (error) {
    if (!isAborted(error)) warn({ mistakes: ["The workspace was stopped. Start it again: kedro workspace"], notices: [] });
  }
}

async function watch() {
  if (document.visibilityState === "visible" || version === null) await look();
  setTimeout(watch, EVERY);
}

function warn({ mistakes, notices }) {
  const banner = document.getElementById("banner");
  const lines = [...mistakes.map((text) => ["mistake", text]), ...notices.map((text) => ["notice", text])];
  const said = lines.map(([, text]) => text).join("\n");
  if (banner.dataset.said === said) return; // so that it is not read out every few seconds
  banner.dataset.said = said;
  banner.replaceChildren(...lines.map(([sort, text]) => h("p", { class: sort }, text)));
}

function onKey(event) {
  const help = document.getElementById("help");
  if (isTyping(event) || help.open) return;
  const page = Object.keys(TITLES)[Number(event.key) - 1];
  if (event.key === "?") help.showModal();
  else if (event.key === "/") {
    if (read().page !== "features") go({ page: "features" });
    features.focus();
  } else if (page) go({ page });
  else return;
  event.preventDefault();
}

function onClick(event) {
  const link = event.target.closest("a[data-page]");
  if (!link || !isPlain(event)) return;
  event.preventDefault();
  go({ page: link.dataset.page });
}

document.getElementById("help-button").addEventListener("click", () => document.getElementById("help").showModal());
document.addEventListener("keydown", onKey);
document.addEventListener("click", onClick);
addEventListener("popstate", () => show());
addEventListener("moved", () => show());
watch();
