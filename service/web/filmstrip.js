// All photographs at a glance: a small picture and the name of each, what was found, and how far the reading is.

import { arrowKeys, byId, h } from "./dom.js";
import { count } from "./words.js";

const THUMB_PX = 144;

/** List the photographs when there are several; `choose(item)` shows one. */
export class Filmstrip {
  #choose;
  #frames = byId("frames");
  #elements = new Map(); // item → {button, badge}
  #drawing = Promise.resolve();

  constructor(store, choose) {
    this.#choose = choose;
    arrowKeys(this.#frames, () => [...this.#frames.querySelectorAll("button")], (index) => choose(store.items[index]));
  }

  render(store) {
    byId("roll").hidden = store.items.length < 2;
    this.#follow(store.items);
    for (const item of store.items) this.#show(item, store.reading(item), item === store.current);
    this.#showProgress(store);
  }

  #follow(items) {
    for (const [item, { row }] of this.#elements) {
      if (!items.includes(item)) {
        row.remove();
        this.#elements.delete(item);
      }
    }
    for (const item of items) if (!this.#elements.has(item)) this.#add(item);
  }

  #add(item) {
    const canvas = h("canvas", { width: THUMB_PX, height: THUMB_PX });
    const badge = h("span", { class: "frame-badge" });
    const sheet = h("span", { class: "frame-sheet", "aria-hidden": "true", "data-kind": endingOf(item.name) }, canvas, badge);
    const name = h("span", { class: "frame-name", title: item.name }, item.name);
    const button = h("button", { type: "button", class: "frame-button", onclick: () => this.#choose(item) }, sheet, name);
    const row = h("li", {}, button);
    this.#elements.set(item, { row, button, badge });
    this.#frames.append(row);
    this.#drawing = this.#drawing.then(() => drawThumb(canvas, item)); // one at a time: a decoded photograph is large
  }

  #show(item, reading, shown) {
    const { button, badge } = this.#elements.get(item);
    const { text, said } = summaryOf(reading);
    if (badge.textContent !== text) badge.textContent = text;
    button.setAttribute("aria-label", `${item.name}, ${said}`);
    button.classList.toggle("failed", reading?.state === "failed");
    if (shown === (button.getAttribute("aria-current") === "true")) return;
    button.setAttribute("aria-current", shown);
    button.tabIndex = shown ? 0 : -1;
    if (shown) button.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #showProgress(store) {
    const states = store.items.map((item) => store.reading(item)?.state);
    const failed = states.filter((state) => state === "failed").length;
    const done = states.filter((state) => state === "read").length + failed;
    const progress = byId("roll-progress");
    progress.max = store.items.length;
    progress.value = done;
    progress.classList.toggle("complete", done === store.items.length);
    byId("roll-count").textContent = `${done} of ${store.items.length} done` + (failed ? ` · ${failed} failed` : "");
  }
}

function summaryOf(reading) {
  if (reading?.state === "failed") return { text: "failed", said: "could not be read" };
  if (reading?.state !== "read") return { text: "…", said: "not read yet" };
  const { faces } = reading.reply;
  if (faces.length === 0) return { text: "no face", said: "no face" };
  const ages = faces.map((face) => Math.round(face.age));
  const text = ages.length > 2 ? count(ages.length, "face") : ages.join(" · ");
  return { text, said: `${count(ages.length, "face")}, about ${ages.slice(0, 5).join(", ")} years` };
}

async function drawThumb(canvas, item) {
  if (item.gone.signal.aborted) return;
  try {
    const picture = await createImageBitmap(item.file).catch(() => loadImage(item.url)); // an image shows of a damaged file what it can
    const scale = Math.max(THUMB_PX / picture.width, THUMB_PX / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, (THUMB_PX - width) / 2, (THUMB_PX - height) / 2, width, height);
    picture.close?.();
  } catch {
    canvas.hidden = true; // the browser cannot read this format, the service may: the sheet says which it is
  }
}

function loadImage(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = url;
  });
}

function endingOf(name) {
  return name.includes(".") ? name.split(".").at(-1).slice(0, 5) : "?";
}
