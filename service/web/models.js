// The loaded models: one is chosen; all of them can be seen side by side.

import { sketch } from "./chart.js";
import { arrowKeys, byId, h, whenChanged } from "./dom.js";
import { atLeast } from "./distribution.js";
import { errorOf, titled } from "./model_names.js";
import { percent, range } from "./words.js";

// What the page shows of a model's metrics, where it has them.
const METRICS = [
  ["val_mae", "Mean error where it was chosen", (value) => `${value.toFixed(2)} years`],
  ["test_mae", "Mean error on test photographs", (value) => `${value.toFixed(2)} years`],
  ["test_cs5", "Within 5 years", (value) => `${Math.round(100 * value)}% of them`],
  ["test_coverage_0.9", "In the 90% range", (value) => `${Math.round(100 * value)}% of them`],
];
const BESIDE_YEARS = 10; // what the small pictures show on both sides of all intervals

/** Let the reader choose a model and compare. */
export class Models {
  #store;
  #cards = byId("model-cards");

  constructor(store) {
    this.#store = store;
    byId("compare").addEventListener("change", (event) => store.update({ compare: event.target.checked }));
    arrowKeys(this.#cards, () => [...this.#cards.children], (index) => this.#choose(titled(store.models)[index].model.name));
  }

  render(store) {
    byId("models").hidden = store.models.length === 0;
    byId("compare").closest("label").hidden = store.models.length < 2;
    const readings = titled(store.models).map(({ model }) => (store.compare ? store.reading(store.current, model.name) : null));
    this.#showCards(store.models, store.model, store.compare, store.threshold, store.current.face, ...readings);
    this.#showFacts(store.models, store.model);
  }

  #choose(name) {
    this.#store.update({ model: name });
  }

  #showCards = whenChanged((models, chosen, compare, threshold, face, ...readings) => {
    const focused = [...this.#cards.children].indexOf(document.activeElement);
    const span = spanOf(readings, face);
    this.#cards.classList.toggle("compared", compare);
    this.#cards.dataset.count = models.length;
    this.#cards.replaceChildren(
      ...titled(models).map(({ model, title }, i) =>
        h(
          "button",
          {
            type: "button",
            role: "radio",
            class: "model-card",
            "data-model": model.name,
            "aria-checked": String(model.name === chosen),
            tabindex: model.name === chosen ? "0" : "-1",
            onclick: () => this.#choose(model.name),
          },
          h("span", { class: "model-name" }, title),
          ...(compare ? resultOf(readings[i], face, threshold, span) : [h("span", { class: "model-note" }, noteOf(model, title))]),
        ),
      ),
    );
    if (focused >= 0) this.#cards.children[focused]?.focus();
  });

  #showFacts = whenChanged((models, chosen) => {
    const { model, title } = titled(models).find((each) => each.model.name === chosen) ?? {};
    if (!model) return;
    byId("model-chosen").textContent = title;
    byId("model-count").textContent = models.length > 1 ? `one of ${models.length}` : "";
    byId("model-facts").replaceChildren(...factsOf(model).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  });
}

function noteOf(model, title) {
  const error = errorOf(model);
  return [title !== model.name && model.name, Number.isFinite(error) && `mean error ${error.toFixed(2)} years`].filter(Boolean).join(" · ");
}

/** The ages that all pictures side by side show. */
function spanOf(readings, index) {
  const intervals = readings.map((reading) => reading?.reply?.faces[index]?.interval).filter(Boolean);
  const low = Math.min(...intervals.map((interval) => interval.low)) - BESIDE_YEARS;
  const high = Math.max(...intervals.map((interval) => interval.high)) + BESIDE_YEARS;
  return [Math.max(0, low), Math.min(100, high)];
}

function resultOf(reading, index, threshold, span) {
  if (reading?.state === "failed") return [h("span", { class: "model-note" }, "could not be read")];
  if (reading?.state !== "read") return [h("span", { class: "model-note" }, "reading…")];
  const face = reading.reply.faces[index];
  if (!face) return [h("span", { class: "model-note" }, "no face")];
  return [
    h("span", { class: "model-age" }, String(Math.round(face.age)), h("span", { class: "unit" }, " years")),
    h("span", { class: "model-note" }, `most likely ${range(face.interval)}`),
    h("span", { class: "picture" }, sketch(face, span), h("span", { class: "ends" }, ...span.map((age) => h("span", {}, age)))),
    h("span", { class: "model-note" }, `${threshold}+: ${percent(atLeast(face.threshold_probabilities, threshold))}`),
    h("span", { class: "model-note" }, `took ${Math.max(1, Math.round(reading.reply.timings_ms.estimate))} ms`),
  ];
}

function factsOf(model) {
  const metrics = METRICS.filter(([name]) => Number.isFinite(model.metrics?.[name]));
  return [
    ["Name", model.name],
    ["Version", `${model.version}, ${model.precision ?? ""} ${model.family ?? ""}`],
    ...metrics.map(([name, title, said]) => [title, said(model.metrics[name])]),
    ...(metrics.length ? [["Measured", "when the file was made"]] : []),
    ["Trained on", model.provenance?.data?.join(", ")],
    ["Licence", model.licence],
    ["SHA-256", model.sha256],
  ].filter(([, value]) => value);
}
