// The ways a photograph comes in: dropped, pasted or chosen.

import { byId } from "./dom.js";

/** Call `take(files)` for files that come in, `refuse(text)` for what cannot be taken. */
export function listenForPhotos(take, refuse) {
  for (const id of ["chooser", "snapper"]) listenToInput(byId(id), take);
  listenToPaste(take);
  listenToDrops(take, refuse);
}

function listenToInput(input, take) {
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
}

function listenToPaste(take) {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    take(files);
  });
}

function listenToDrops(take, refuse) {
  const veil = byId("veil");
  let depth = 0; // dragenter and dragleave fire for each element on the way
  const cover = (by) => {
    depth = Math.max(0, depth + by);
    veil.hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => carriesFiles(event) && cover(1));
  addEventListener("dragleave", (event) => carriesFiles(event) && cover(-1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    cover(-Infinity);
    const files = filesOf(event.dataTransfer);
    if (files.length) take(files);
    if (files.length < event.dataTransfer.files.length) {
      refuse("A folder cannot be dropped. Drop the pictures in it, or run “agelens score” for whole archives.");
    }
  });
}

function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

function filesOf({ items, files }) {
  const folders = [...items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.()?.isDirectory);
  return [...files].filter((_, index) => !folders[index]);
}
