// What was read of the chosen face: age, interval, plots, the slider, warnings, or what went wrong.

import { ageAt, curveChart, massChart } from "./chart.js";
import { byId, h, whenChanged } from "./dom.js";
import { atLeast, meanOf, medianOf } from "./distribution.js";
import { explain, percent, warning, years } from "./words.js";

/** Show the chosen face's reading and change threshold and level through `store`. */
export class Reading {
  #store;
  #photo;
  #width = 0;

  constructor(store, photo) {
    this.#store = store;
    this.#photo = photo;
    byId("threshold").addEventListener("input", (event) => store.update({ threshold: Number(event.target.value) }));
    byId("level").addEventListener("change", (event) => store.update({ level: Number(event.target.value) }));
    for (const chip of document.querySelectorAll("[data-threshold]")) {
      chip.addEventListener("click", () => store.update({ threshold: Number(chip.dataset.threshold) }));
    }
    for (const id of ["mass", "curve"]) this.#followPointer(byId(id));
    photo.addEventListener("load", () => this.#showPortrait(this.#store.shown));
    new ResizeObserver(([entry]) => {
      this.#width = Math.floor(entry.contentRect.width);
      this.render(store);
    }).observe(byId("curve"));
  }

  render(store) {
    const reading = store.reading(store.current);
    const { reply, face, stale } = store.shown;
    byId("pending").hidden = reply != null || reading?.state === "failed";
    byId("panel").setAttribute("aria-busy", !reply || stale);
    byId("nobody").hidden = !reply || reply.faces.length > 0;
    byId("reading").hidden = !face;
    this.#showTrouble(reading?.problem ?? null);
    if (!face) return;
    this.#showFace(face, store.current.face, reply.faces.length);
    this.#showGate(face, store.threshold);
    if (this.#width) this.#showCharts(face, store.threshold, this.#width);
  }

  #showTrouble = whenChanged((problem) => {
    const place = byId("trouble");
    place.hidden = !problem;
    place.replaceChildren(...(problem ? troubleOf(problem) : []));
  });

  #showFace = whenChanged((face, index, total) => {
    byId("age").replaceChildren(h("span", { class: "about" }, "about "), String(Math.round(face.age)), h("span", { class: "unit" }, " years"));
    byId("range").textContent = `${face.interval.low} to ${face.interval.high}`;
    byId("stepper").hidden = total < 2;
    byId("which").textContent = `${index + 1} of ${total}`;
    byId("warnings").replaceChildren(...face.warnings.map((code) => h("li", {}, warning(code))));
    byId("figures").replaceChildren(...figuresOf(face).flatMap(([name, value]) => [h("div", {}, h("dt", {}, name), h("dd", {}, value))]));
    this.#showPortrait({ face });
  });

  #showGate = whenChanged((face, threshold) => {
    const p = atLeast(face.threshold_probabilities, threshold);
    const slider = byId("threshold");
    slider.value = threshold;
    slider.setAttribute("aria-valuetext", `${threshold} years: ${percent(p)}`);
    byId("threshold-age").textContent = threshold;
    byId("gate").replaceChildren(h("data", { value: p, title: `P(age ≥ ${threshold}) = ${p}` }, percent(p)));
    for (const chip of document.querySelectorAll("[data-threshold]")) {
      chip.setAttribute("aria-pressed", Number(chip.dataset.threshold) === threshold);
    }
  });

  #showCharts = whenChanged((face, threshold, width) => {
    byId("mass").replaceChildren(massChart(face, threshold, width));
    byId("curve").replaceChildren(curveChart(face, threshold, width));
  });

  #showPortrait({ face }) {
    const canvas = byId("portrait");
    const drawable = face && this.#photo.complete && this.#photo.naturalWidth > 0;
    canvas.hidden = !drawable;
    if (drawable) drawPortrait(canvas, this.#photo, face.box);
  }

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

function troubleOf(problem) {
  const { title, advice } = explain(problem);
  const said = [problem.message, problem.requestId && `Request ${problem.requestId}.`].filter(Boolean).join(" ");
  return [
    h("h2", {}, title),
    h("p", {}, advice),
    h("div", { class: "trouble-actions" }, h("button", { type: "button", class: "button", "data-action": "retry" }, "Try again"),
      problem.status === 401 && h("button", { type: "button", class: "button primary", "data-action": "ask-key" }, "Enter the key")),
    said && h("details", { class: "about" }, h("summary", {}, "What the service said"), h("p", {}, said)),
  ].filter(Boolean);
}

function figuresOf(face) {
  return [
    ["Median", years(medianOf(face.threshold_probabilities))],
    ["Mean", years(meanOf(face.threshold_probabilities))],
    ["Standard deviation", years(face.standard_deviation)],
    ["Detection", percent(face.detection_confidence)],
  ];
}

function drawPortrait(canvas, photo, box) {
  const { naturalWidth: width, naturalHeight: height } = photo;
  const side = Math.min(1.5 * Math.max(box.width, box.height), width, height);
  const left = Math.min(width - side, Math.max(0, box.x + box.width / 2 - side / 2));
  const top = Math.min(height - side, Math.max(0, box.y + box.height / 2 - side / 2));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, left, top, side, side, 0, 0, canvas.width, canvas.height);
}
