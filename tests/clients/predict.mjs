// Posts a picture as a form, as bytes and as a stream: node predict.mjs URL FILE
import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";

const [url, file] = process.argv.slice(2);
const picture = await readFile(file);
const form = new FormData();
form.append("file", new Blob([picture], { type: "image/png" }), "picture.png");
const headers = { "content-type": "image/png" };
const stream = () => Readable.toWeb(Readable.from([picture.subarray(0, 50_000), picture.subarray(50_000)]));
for (const sent of [{ body: form }, { body: picture, headers }, { body: stream(), headers, duplex: "half" }]) {
  const reply = await fetch(url, { method: "POST", ...sent });
  console.log(reply.status, await reply.text());
}
