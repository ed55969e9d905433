// Puts the page together: state in the middle, views around it, actions by name.

import { Answer } from "./answer.js";
import { fetchModels, Problem } from "./api.js";
import { Camera } from "./camera.js";
import { announce, byId } from "./dom.js";
import { Exchange } from "./exchange.js";
import { Filmstrip } from "./filmstrip.js";
import { listenForPhotos } from "./intake.js";
import { Models } from "./models.js";
import { Reader } from "./reader.js";
import { Reading } from "./reading.js";
import { fetchSample, offerSample } from "./sample.js";
import { Stage } from "./stage.js";
import { Item, Store } from "./store.js";
import { count, describe, explain } from "./words.js";

const store = new Store();
const reader = new Reader(store, loadModels());
const stage = new Stage(chooseFace);
const views = [
  stage,
  new Answer(store, stage.photo),
  new Reading(store),
  new Models(store),
  new Filmstrip(store, show),
  new Exchange(store),
];
const camera = new Camera(add);
store.subscribe(render);
listenForPhotos(add, notify);
offerSample();

const actions = {
  choose: () => byId("chooser").click(),
  sample: () => addSample(),
  camera: () => camera.open(),
  "close-camera": () => camera.close(),
  clear: () => remove(...store.items),
  remove: () => remove(store.current),
  retry: () => retry(store.current),
  whole: () => readWhole(store.current),
  "previous-face": () => stepFace(-1),
  "next-face": () => stepFace(1),
  "ask-key": () => byId("key-dialog").showModal(),
  "close-key": () => byId("key-dialog").close(),
};

document.addEventListener("click", (event) => {
  const action = event.target.closest("[data-action]")?.dataset.action;
  if (action) actions[action]();
});

byId("key-form").addEventListener("submit", async () => {
  store.update({ key: byId("key").value.trim() });
  await loadModels();
  for (const item of store.items) reader.retry(item);
});

/** Ask for the models; without an answer the page goes on with the service's default. */
async function loadModels() {
  try {
    const models = await fetchModels(store.key);
    notify("");
    store.update({ models, model: (models.find((model) => model.default) ?? models[0])?.name ?? null });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) return byId("key-dialog").showModal();
    const { title, advice } = explain(problem);
    notify(`${title}. ${advice}`);
  }
}

async function addSample() {
  try {
    const { file, source } = await fetchSample();
    add([file], source);
  } catch {
    notify("The sample photo could not be fetched. Choose one of your own.");
  }
}

function add(files, source = null) {
  if (files.length === 0) return;
  notify("");
  const first = store.items.length === 0;
  const items = files.map((file) => new Item(file, source));
  store.update({ items: [...store.items, ...items], current: items[0] });
  announce(`Reading ${count(files.length, "photograph")}`);
  if (first) queueMicrotask(() => byId("photo-title").focus({ preventScroll: true }));
}

function show(item) {
  store.update({ current: item });
}

function remove(...gone) {
  const at = store.items.indexOf(store.current);
  for (const item of gone) item.release();
  const items = store.items.filter((item) => !gone.includes(item));
  const current = items.includes(store.current) ? store.current : (items[Math.min(at, items.length - 1)] ?? null);
  store.update({ items, current });
  queueMicrotask(() => (current ? byId("photo-title") : byId("content")).focus({ preventScroll: true }));
  announce(current ? "Removed" : "No photographs");
}

function retry(item) {
  byId("answer").focus(); // the button that was pressed goes away
  reader.retry(item);
}

function readWhole(item) {
  byId("answer").focus();
  item.detect = false;
  item.face = 0;
  store.update();
}

function chooseFace(index) {
  store.current.face = index;
  store.update();
}

function stepFace(by) {
  const total = store.shown.reply.faces.length;
  chooseFace((store.current.face + by + total) % total);
  announce(describe(store.shown.face, store.current.face, total));
}

function notify(text) {
  const notice = byId("notice");
  notice.textContent = text;
  notice.hidden = !text;
}

function render() {
  const working = store.items.length > 0;
  byId("welcome").hidden = working;
  byId("work").hidden = !working;
  byId("top-work").hidden = !working;
  if (!working) return;
  for (const view of views) view.render(store);
  announceReading(store.current, store.reading(store.current));
}

let announced = null;

/** Tell a screen reader what came of the photograph that is shown, once. */
function announceReading(item, reading) {
  if (!reading || reading === announced || reading.state !== "read") return;
  announced = reading;
  const { faces } = reading.reply;
  const face = faces[item.face];
  announce(face ? `${item.name}: ${describe(face, item.face, faces.length)}` : `${item.name}: no face found`);
}
