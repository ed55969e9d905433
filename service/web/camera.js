// A picture from the camera, taken in a dialogue; where the browser gives no stream, its own camera picker.

import { byId } from "./dom.js";

/** Opens the dialogue and calls `take([file])` with the picture. */
export class Camera {
  #take;
  #dialog = byId("camera");
  #video = byId("viewfinder");
  #taken = 0;

  constructor(take) {
    this.#take = take;
    byId("shutter").addEventListener("click", () => this.#shoot());
    this.#dialog.addEventListener("close", () => this.#stop());
    this.#video.addEventListener("loadeddata", () => (byId("shutter").disabled = false));
  }

  async open() {
    if (!navigator.mediaDevices?.getUserMedia) {
      byId("snapper").click(); // plain http: browsers give a stream to secure pages only
      return;
    }
    this.#say("");
    this.#dialog.showModal();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1920 } } });
      if (!this.#dialog.open) return stopAll(stream);
      this.#video.srcObject = stream; // the shutter waits for the first frame
    } catch (error) {
      this.#say(
        error.name === "NotAllowedError"
          ? "The browser does not let this page use the camera. Allow it in the address bar, then open this again."
          : "No camera was found. Connect one, or choose a photo instead.",
      );
    }
  }

  close() {
    this.#dialog.close();
  }

  #shoot() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (!width) return;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    this.#taken += 1;
    const name = `camera-${this.#taken}.jpg`;
    canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 }).then((blob) => this.#take([new File([blob], name, { type: blob.type })]));
    this.close();
  }

  #stop() {
    if (this.#video.srcObject) stopAll(this.#video.srcObject);
    this.#video.srcObject = null;
    byId("shutter").disabled = true;
  }

  #say(text) {
    const place = byId("camera-trouble");
    place.textContent = text;
    place.hidden = !text;
  }
}

function stopAll(stream) {
  for (const track of stream.getTracks()) track.stop();
}
