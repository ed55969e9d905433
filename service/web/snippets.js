// The request that the page made, as code to copy. A sample's `source` is fetched, any other file is read by its name.

import { predictAddress } from "./api.js";

/** A curl command that asks `question` about the file `name`. */
export function curlText({ name, source }, question, key) {
  const part = /^[\w.-]+$/.test(name) ? `file=@${name}` : quote(`file=@"${name.replace(/["\\]/g, "\\$&")}"`);
  return [
    source && `curl -sO ${quote(source)}`,
    `curl -F ${part} \\`,
    key && `  -H "Authorization: Bearer $KEY" \\`,
    `  ${quote(predictAddress(question).href)}`,
  ].filter(Boolean).join("\n");
}

/** The same in Python, with nothing but the standard library. */
export function pythonText({ name, source }, question, key) {
  return [
    "import json",
    key && "import os",
    !source && "from pathlib import Path",
    "from urllib.request import Request, urlopen",
    "",
    source ? `photo = urlopen(${text(source)}).read()` : `photo = Path(${text(name)}).read_bytes()`,
    `address = ${text(predictAddress(question).href)}`,
    `headers = {"Content-Type": "application/octet-stream"}`,
    key && `headers["Authorization"] = f"Bearer {os.environ['KEY']}"`,
    "with urlopen(Request(address, data=photo, headers=headers)) as response:",
    "    reply = json.load(response)",
    `for face in reply["faces"]:`,
    `    print(face["age"], face["interval"]["low"], face["interval"]["high"], face["at_least"]["${question.threshold}"])`,
  ].filter((line) => line === "" || line).join("\n");
}

/** The same in JavaScript, as a module for Node; a browser has the file from an input. */
export function javascriptText({ name, source }, question, key) {
  const authorization = key ? ", Authorization: `Bearer ${process.env.KEY}`" : "";
  return [
    ...(source
      ? [`const photo = await (await fetch(${text(source)})).blob();`]
      : [
          `import { openAsBlob } from "node:fs"; // in a browser: const photo = input.files[0];`,
          "",
          `const photo = await openAsBlob(${text(name)});`,
        ]),
    `const address = ${text(predictAddress(question).href)};`,
    `const headers = { "Content-Type": "application/octet-stream"${authorization} };`,
    `const response = await fetch(address, { method: "POST", headers, body: photo });`,
    "const reply = await response.json();",
    "if (!response.ok) throw new Error(reply.detail);",
    "for (const { age, interval, at_least } of reply.faces) {",
    `  console.log(age, interval.low, interval.high, at_least["${question.threshold}"]);`,
    "}",
  ].join("\n");
}

function text(value) {
  return JSON.stringify(value); // a literal in Python too
}

function quote(value) {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
