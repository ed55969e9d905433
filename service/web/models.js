// The loaded models: one is chosen; all of them can be seen side by side.

import { sketch } from "./chart.js";
import { arrowKeys, byId, h, whenChanged } from "./dom.js";
import { atLeast } from "./distribution.js";
import { percent, range } from "./words.js";

const METRICS = 6; // how many of a model's metrics the page shows

/** Let the reader choose a model and compare. */
export class Models {
  #store;
  #cards = byId("model-cards");

  constructor(store) {
    this.#store = store;
    byId("compare").addEventListener("change", (event) => store.update({ compare: event.target.checked }));
    arrowKeys(this.#cards, () => [...this.#cards.children], (index) => this.#choose(store.models[index].name));
  }

  render(store) {
    byId("models").hidden = store.models.length === 0;
    byId("compare").closest("label").hidden = store.models.length < 2;
    const readings = store.models.map(({ name }) => (store.compare ? store.reading(store.current, name) : null));
    this.#showCards(store.models, store.model, store.compare, store.threshold, store.current?.face, ...readings);
    this.#showFacts(store.models.find(({ name }) => name === store.model) ?? null);
  }

  #choose(name) {
    this.#store.update({ model: name });
  }

  #showCards = whenChanged((models, chosen, compare, threshold, face, ...readings) => {
    const focused = [...this.#cards.children].indexOf(document.activeElement);
    this.#cards.classList.toggle("compared", compare);
    this.#cards.replaceChildren(
      ...models.map((model, i) =>
        h(
          "button",
          {
            type: "button",
            role: "radio",
            class: "model-card",
            "aria-checked": String(model.name === chosen),
            tabindex: model.name === chosen ? "0" : "-1",
            onclick: () => this.#choose(model.name),
          },
          h("span", { class: "model-name" }, model.name),
          ...(compare ? resultOf(readings[i], face, threshold) : []),
        ),
      ),
    );
    if (focused >= 0) this.#cards.children[focused]?.focus();
  });

  #showFacts = whenChanged((model) => {
    if (!model) return;
    byId("model-facts").replaceChildren(...factsOf(model).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  });
}

function resultOf(reading, index, threshold) {
  if (reading?.state === "failed") return [h("span", { class: "model-note" }, "could not be read")];
  if (reading?.state !== "read") return [h("span", { class: "model-note" }, "reading…")];
  const face = reading.reply.faces[index];
  if (!face) return [h("span", { class: "model-note" }, "no face")];
  return [
    h("span", { class: "model-age" }, String(Math.round(face.age)), h("span", { class: "unit" }, " years")),
    h("span", { class: "model-note" }, range(face.interval)),
    sketch(face),
    h("span", { class: "model-note" }, `${threshold}+: ${percent(atLeast(face.threshold_probabilities, threshold))}`),
  ];
}

function factsOf(model) {
  const metrics = Object.entries(model.metrics ?? {}).slice(0, METRICS);
  return [
    ["Version", `${model.version}, ${model.precision ?? ""} ${model.family ?? ""}`],
    ...metrics.map(([name, value]) => [name.replaceAll("_", " "), String(Number(value.toPrecision(4)))]),
    ["Trained on", model.provenance?.data?.join(", ")],
    ["Licence", model.licence],
    ["SHA-256", model.sha256],
  ].filter(([, value]) => value);
}
