// The request that was made and the reply that came, to copy.

import { predictAddress } from "./api.js";
import { announce, arrowKeys, byId, whenChanged } from "./dom.js";

/** Show reply and request as JSON, curl and Python. */
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
    if (reply) this.#show(this.#kind, store.current, reading, store.key);
  }

  #show = whenChanged((kind, item, reading, key) => {
    byId("code").textContent = writers[kind](item, reading, key);
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

const writers = {
  json: (item, reading) => jsonText(reading.reply),
  curl: (item, reading, key) => curlText(item.name, reading.question, key),
  python: (item, reading, key) => pythonText(item.name, reading.question, key),
};

/** The reply with its rows of numbers on one line each. */
export function jsonText(reply) {
  return JSON.stringify(reply, null, 2).replace(/\[[^[\]{}"]*\]/g, (row) => row.replace(/\s+/g, " "));
}

/** The curl command that asks the same. */
export function curlText(name, question, key) {
  const header = key ? `  -H "Authorization: Bearer $KEY" \\\n` : "";
  const part = /^[\w.-]+$/.test(name) ? `file=@${name}` : quote(`file=@"${name.replace(/["\\]/g, "\\$&")}"`);
  return `curl -F ${part} \\\n${header}  ${quote(predictAddress(question).href)}`;
}

/** The same with the Python client. */
export function pythonText(name, { model, level, detect }, key) {
  const base = JSON.stringify(new URL(".", document.baseURI).href);
  const options = [model && `model=${JSON.stringify(model)}`, `interval=${level}`, !detect && "detect=False"].filter(Boolean);
  return [
    "from pathlib import Path",
    ...(key ? ["import os"] : []),
    "",
    "from service.client import Client",
    "",
    `with Client(${base}${key ? `, api_key=os.environ["KEY"]` : ""}) as client:`,
    `    reply = client.predict(Path(${JSON.stringify(name)}), ${options.join(", ")})`,
    "for face in reply.faces:",
    "    print(face.age, face.interval.low, face.interval.high)",
  ].join("\n");
}

function quote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
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
