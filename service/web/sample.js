// A photograph to try the page with, where the service has one.

import { address } from "./api.js";
import { byId } from "./dom.js";

const NAME = "astronaut.png";

/** Show the button once the sample's small picture has come: without it, there is no sample here. */
export function offerSample() {
  const thumbnail = byId("sample-thumbnail");
  thumbnail.addEventListener("load", () => (byId("sample").hidden = false));
  thumbnail.src = address("sample/thumbnail.jpg").href;
}

/** The sample as a file, and the address it came from; raises where it cannot be fetched. */
export async function fetchSample() {
  const source = address(`sample/${NAME}`).href;
  const response = await fetch(source);
  if (!response.ok) throw new Error(`the sample came with status ${response.status}`);
  const blob = await response.blob();
  return { file: new File([blob], NAME, { type: blob.type }), source };
}
