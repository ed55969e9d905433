// The reply that came, and the request as code to copy.

import { announce, arrowKeys, byId, whenChanged } from "./dom.js";
import { curlText, javascriptText, pythonText } from "./snippets.js";

/** Show the reply as JSON and the request as curl, Python and JavaScript. */
export class Exchange {
  #store;
  #kind = "json";
  #tabs = [...document.querySelectorAll("[role=tab]")];

  constructor(store) {
    this.#store = store;
    for (const tab of this.#tabs) tab.addEventListener("click", () => this.#choose(tab));
    arrowKeys(byId("exchange"), () => this.#tabs, (index) => this.#choose(this.#tabs[index]));
    byId("copy").addEventListener("click", () => this.#copy());
  }

  render(store) {
    const { reading, reply } = store.shown;
    byId("exchange").hidden = !reply;
    if (reply) this.#show(this.#kind, store.current, reading, store.threshold, store.key);
  }

  #show = whenChanged((kind, item, reading, threshold, key) => {
    byId("code").textContent = kind === "json" ? jsonText(reading.reply) : writers[kind](item, { ...reading.question, threshold }, key);
  });

  #choose(chosen) {
    this.#kind = chosen.dataset.tab;
    for (const tab of this.#tabs) {
      tab.setAttribute("aria-selected", tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    byId("code").setAttribute("aria-labelledby", chosen.id);
    this.render(this.#store);
  }

  async #copy() {
    const done = await copyText(byId("code"));
    announce(done ? "Copied" : "Selected; press Ctrl C to copy");
    const button = byId("copy");
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = "Copy"), 1600);
  }
}

const writers = { curl: curlText, python: pythonText, javascript: javascriptText };

/** The reply with its rows of numbers on one line each. */
export function jsonText(reply) {
  return JSON.stringify(reply, null, 2).replace(/\[[^[\]{}"]*\]/g, (row) => row.replace(/\s+/g, " "));
}

async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element); // no clipboard on plain http
    return document.execCommand("copy");
  }
}
