// Elements from plain values. Text always becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. In `attributes`, `on…` are listeners, `css` are style properties, true sets an empty attribute, and
 * false, null and undefined set none. Children that are null, undefined or false are left out.
 */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function s(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "css") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...present(children));
  return element;
}

/** Put children into an element, in place of those it has. */
export function show(element, ...children) {
  element.replaceChildren(...present(children));
}

const present = (children) => children.flat(Infinity).filter((one) => one != null && one !== false);

/** Say something to those who do not see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Whether a key press is meant for a field, or belongs to the browser. */
export function isTyping(event) {
  return event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea, select");
}

/** Put text into the clipboard, and say so on the button. */
export async function copy(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed: select and copy";
  }
  say(button.textContent);
  setTimeout(() => { button.textContent = label; }, 1600);
}
