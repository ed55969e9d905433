// What went wrong with a photograph, and what can be done.

import { h } from "./dom.js";
import { explain } from "./words.js";

const OF_THE_FILE = [413, 415, 422]; // the same file would be refused again

/** The elements that say a problem with the photograph called `name`. */
export function troubleOf(problem, name) {
  const { title, advice } = explain(problem);
  const said = [problem.message, problem.requestId && `Request ${problem.requestId}.`].filter(Boolean).join(" ");
  return [
    h("h2", {}, title),
    h("p", { class: "trouble-name" }, name),
    h("p", {}, advice),
    h(
      "div",
      { class: "trouble-actions" },
      !OF_THE_FILE.includes(problem.status) && h("button", { type: "button", class: "button", "data-action": "retry" }, "Try again"),
      problem.status === 401 && h("button", { type: "button", class: "button primary", "data-action": "ask-key" }, "Enter the key"),
    ),
    said && h("details", { class: "about" }, h("summary", {}, "What the service said"), h("p", {}, said)),
  ].filter(Boolean);
}
