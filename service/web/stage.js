// The photograph with a frame and an age on each face.

import { arrowKeys, byId, h, whenChanged } from "./dom.js";
import { count, describe } from "./words.js";

const LABEL_PX = 32; // height of an age's label
const SMALL_FACE_PX = 44; // narrower frames get a smaller label
const SMALL_PHOTO_PX = 320; // lower photographs are enlarged

/** Show the current photograph; `choose(index)` picks a face. */
export class Stage {
  #choose;
  #photo = byId("photo");
  #print = byId("print");
  #reply = null;
  #faces = byId("faces");

  constructor(choose) {
    this.#choose = choose;
    arrowKeys(this.#faces, () => [...this.#faces.children], choose);
    this.#photo.addEventListener("error", () => this.#unseen(true));
    this.#photo.addEventListener("load", () => this.#unseen(false));
    new ResizeObserver(() => this.#fit()).observe(this.#print);
  }

  /** The photograph's element, from which portraits are cut. */
  get photo() {
    return this.#photo;
  }

  render(store) {
    const { current } = store;
    const reading = store.reading(current);
    this.#showPhoto(current);
    this.#showState(reading?.state);
    this.#showFacts(current, reading);
    const { reply } = store.shown;
    this.#showFaces(current, reply);
    this.#markFace(current.face, reply);
  }

  #showPhoto = whenChanged((item) => {
    byId("photo-title").textContent = item.name;
    this.#photo.alt = `Photograph: ${item.name}`;
    this.#photo.src = item.url;
  });

  #showState = whenChanged((state) => {
    byId("scan").hidden = state !== "asked";
    this.#print.setAttribute("aria-busy", state === "asked");
    this.#print.classList.toggle("failed", state === "failed");
  });

  #showFacts = whenChanged((item, reading) => {
    byId("photo-facts").textContent = factsOf(reading);
  });

  #showFaces = whenChanged((item, reply) => {
    this.#reply = reply;
    this.#faces.setAttribute("aria-label", `Faces in ${item.name}`);
    this.#faces.replaceChildren(...(reply ? framesOf(reply, this.#choose) : []));
    this.#fit();
    this.#keepShape();
  });

  #markFace = whenChanged((chosen, reply) => {
    if (!reply) return;
    for (const [index, frame] of [...this.#faces.children].entries()) {
      frame.setAttribute("aria-checked", index === chosen);
      frame.tabIndex = index === chosen ? 0 : -1;
    }
  });

  #unseen(blind) {
    this.#print.classList.toggle("blind", blind);
    this.#photo.style.width = blind ? "" : `${widthOf(this.#photo)}px`;
    this.#keepShape();
  }

  /** Without a picture to see, frames on an empty sheet of its shape still say where the faces are. */
  #keepShape() {
    const image = this.#reply?.image;
    const blind = this.#print.classList.contains("blind");
    byId("unseen").hidden = !blind;
    this.#print.style.aspectRatio = blind && image ? `${image.width} / ${image.height}` : "";
  }

  /** Labels go beneath faces at the upper border, inside those that fill the picture, and get smaller on small ones. */
  #fit() {
    for (const frame of this.#faces.children) {
      const above = frame.offsetTop > LABEL_PX;
      const below = frame.offsetTop + frame.offsetHeight + LABEL_PX < this.#faces.offsetHeight;
      frame.classList.toggle("high", !above && below);
      frame.classList.toggle("full", !above && !below);
      frame.classList.toggle("tiny", frame.offsetWidth < SMALL_FACE_PX);
    }
  }
}

function widthOf({ naturalWidth, naturalHeight }) {
  return Math.round(naturalWidth * Math.max(1, SMALL_PHOTO_PX / naturalHeight));
}

function factsOf(reading) {
  if (reading?.state === "asked") return reading.wait ? `The service is busy; trying again in ${reading.wait} s…` : "Reading…";
  if (reading?.state !== "read") return "";
  const { image, faces, timings_ms: timings } = reading.reply;
  return `${image.width} × ${image.height} pixels · ${count(faces.length, "face")} · read in ${Math.max(1, Math.round(timings.total))} ms`;
}

function framesOf({ image, faces }, choose) {
  return faces.map((face, index) => {
    const frame = h(
      "button",
      {
        type: "button",
        role: "radio",
        class: "face",
        "aria-label": describe(face, index, faces.length),
        onclick: () => choose(index),
      },
      h("span", { class: "face-age", "aria-hidden": "true" }, String(Math.round(face.age))),
    );
    place(frame, face.box, image);
    return frame;
  });
}

function place(frame, box, image) {
  const left = Math.max(0, box.x);
  const top = Math.max(0, box.y);
  const right = Math.min(image.width, box.x + box.width);
  const bottom = Math.min(image.height, box.y + box.height);
  frame.style.left = `${(100 * left) / image.width}%`;
  frame.style.top = `${(100 * top) / image.height}%`;
  frame.style.width = `${(100 * (right - left)) / image.width}%`;
  frame.style.height = `${(100 * (bottom - top)) / image.height}%`;
}
