// The distribution of the chosen face: the plot, its slider, and the figures under Details.

import { ageAt, densityChart } from "./chart.js";
import { byId, h, whenChanged } from "./dom.js";
import { atLeast, meanOf, medianOf } from "./distribution.js";
import { percent, years } from "./words.js";

/** Show the chosen face's distribution and change threshold and level through `store`. */
export class Reading {
  #store;
  #width = 0;

  constructor(store) {
    this.#store = store;
    byId("threshold").addEventListener("input", (event) => store.update({ threshold: Number(event.target.value) }));
    byId("level").addEventListener("change", (event) => store.update({ level: Number(event.target.value) }));
    this.#followPointer(byId("density"));
    new ResizeObserver(([entry]) => {
      this.#width = Math.floor(entry.contentRect.width);
      if (store.current) this.render(store);
    }).observe(byId("density"));
  }

  render(store) {
    const { face, stale } = store.shown;
    const panel = byId("panel");
    panel.hidden = !face;
    panel.setAttribute("aria-busy", stale);
    if (!face) return;
    this.#showSlider(face, store.threshold);
    this.#showFigures(face);
    if (this.#width) this.#showChart(face, store.threshold, this.#width);
  }

  #showSlider = whenChanged((face, threshold) => {
    const slider = byId("threshold");
    slider.value = threshold;
    slider.setAttribute("aria-valuetext", `${threshold} or older: ${percent(atLeast(face.threshold_probabilities, threshold))}`);
  });

  #showFigures = whenChanged((face) => {
    byId("figures").replaceChildren(...figuresOf(face).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  });

  #showChart = whenChanged((face, threshold, width) => byId("density").replaceChildren(densityChart(face, threshold, width)));

  #followPointer(chart) {
    const follow = (event) => {
      const box = chart.getBoundingClientRect();
      this.#store.update({ threshold: ageAt(event.clientX - box.left, box.width) });
    };
    chart.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse") return; // a finger scrolls the page
      chart.setPointerCapture(event.pointerId);
      follow(event);
    });
    chart.addEventListener("pointermove", (event) => chart.hasPointerCapture(event.pointerId) && follow(event));
  }
}

function figuresOf(face) {
  return [
    ["Median", `${years(medianOf(face.threshold_probabilities))} years`],
    ["Mean", `${years(meanOf(face.threshold_probabilities))} years`],
    ["Standard deviation", `${years(face.standard_deviation)} years`],
    ["Sure that it is a face", percent(face.detection_confidence)],
    ["Width of the face", `${Math.round(face.box.width)} pixels`],
  ];
}
