// The few things that every view needs of the document.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id, which index.html promises. */
export function byId(id) {
  return document.getElementById(id);
}

/** An HTML element with attributes (`on…` are listeners, false leaves one out) and children. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** Wrap `render(…inputs)` so that it runs only where an input differs from the last time. */
export function whenChanged(render) {
  let last = null;
  return (...inputs) => {
    if (last && inputs.every((input, i) => Object.is(input, last[i]))) return;
    last = inputs;
    render(...inputs);
  };
}

/** Let the arrow keys, Home and End move among `items()`; `choose(index)` does what choosing means. */
export function arrowKeys(container, items, choose) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  container.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    let to;
    if (event.key in steps) to = (at + steps[event.key] + all.length) % all.length;
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = all.length - 1;
    else return;
    event.preventDefault();
    choose(to);
    items()[to]?.focus();
  });
}

/** Say something to a screen reader. */
export function announce(text) {
  byId("status").textContent = text;
}
