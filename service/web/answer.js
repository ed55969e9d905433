// The answer in a sentence or two about the chosen face, its warnings, or what went wrong.

import { byId, h, whenChanged } from "./dom.js";
import { atLeast } from "./distribution.js";
import { troubleOf } from "./trouble.js";
import { ageInWords, chance, rangeInWords, warning, warningsOf } from "./words.js";

/** Show the answer and change the threshold through `store`; `photo` is the element that portraits are cut from. */
export class Answer {
  #photo;

  constructor(store, photo) {
    this.#photo = photo;
    for (const chip of document.querySelectorAll("[data-threshold]")) {
      chip.addEventListener("click", () => store.update({ threshold: Number(chip.dataset.threshold) }));
    }
    photo.addEventListener("load", () => this.#showPortrait(store.shown.face));
  }

  render(store) {
    const reading = store.reading(store.current);
    const { reply, face, stale } = store.shown;
    byId("pending").hidden = reply != null || reading?.state === "failed";
    byId("answer").setAttribute("aria-busy", !reply || stale);
    byId("nobody").hidden = !reply || reply.faces.length > 0;
    byId("reading").hidden = !face;
    this.#showTrouble(reading?.problem ?? null, store.current.name);
    this.#showWarnings(reply, face);
    if (!face) return;
    this.#showFace(face, store.current.face, reply.faces.length);
    this.#showGate(face, store.threshold);
  }

  #showTrouble = whenChanged((problem, name) => {
    const place = byId("trouble");
    place.hidden = !problem;
    place.replaceChildren(...(problem ? troubleOf(problem, name) : []));
  });

  #showWarnings = whenChanged((reply, face) => {
    byId("warnings").replaceChildren(...warningsOf(reply, face).map((code) => h("li", {}, warning(code))));
  });

  #showFace = whenChanged((face, index, total) => {
    const { before, number, after } = ageInWords(face.age);
    byId("age").replaceChildren(h("span", { class: "word" }, before), number, h("span", { class: "word" }, after));
    byId("range").textContent = rangeInWords(face.interval);
    byId("stepper").hidden = total < 2;
    byId("which").textContent = `face ${index + 1} of ${total}`;
    this.#showPortrait(face);
  });

  #showGate = whenChanged((face, threshold) => {
    const p = atLeast(face.threshold_probabilities, threshold);
    byId("threshold-age").textContent = threshold;
    byId("gate").replaceChildren(h("data", { value: p, title: `P(age ≥ ${threshold}) = ${p}` }, chance(p)));
    for (const chip of document.querySelectorAll("[data-threshold]")) {
      chip.setAttribute("aria-pressed", Number(chip.dataset.threshold) === threshold);
    }
  });

  #showPortrait(face) {
    const canvas = byId("portrait");
    const drawable = face && this.#photo.complete && this.#photo.naturalWidth > 0;
    canvas.hidden = !drawable;
    if (drawable) drawPortrait(canvas, this.#photo, face.box);
  }
}

function drawPortrait(canvas, photo, box) {
  const { naturalWidth: width, naturalHeight: height } = photo;
  const side = Math.min(1.7 * Math.max(box.width, box.height), width, height);
  const left = Math.min(width - side, Math.max(0, box.x + box.width / 2 - side / 2));
  const top = Math.min(height - side, Math.max(0, box.y + box.height / 2 - side / 2));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, left, top, side, side, 0, 0, canvas.width, canvas.height);
}
