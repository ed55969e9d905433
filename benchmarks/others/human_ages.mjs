// npm's @vladmandic/human on its WebAssembly backend: paths on standard input, JSON lines out.
// HEAD is faceres or ssrnet: which of the package's age networks answers.

import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import jpeg from 'jpeg-js';

const require = createRequire(import.meta.url);
const packages = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules');
const models = path.join(packages, '@vladmandic', 'human-models', 'models');
const head = process.argv[2];

// The package fetches its models by URL; Node's fetch reads no files.
const overTheNetwork = globalThis.fetch;
globalThis.fetch = async (url, options) => {
  const where = typeof url === 'string' ? url : url.url;
  if (!where.startsWith('file:')) return overTheNetwork(url, options);
  const type = where.endsWith('.json') ? 'application/json' : 'application/octet-stream';
  return new Response(fs.readFileSync(fileURLToPath(where)), { headers: { 'content-type': type } });
};

const { Human } = require(path.join(packages, '@vladmandic', 'human', 'dist', 'human.node-wasm.js'));
const human = new Human({
  backend: 'wasm',
  wasmPath: path.join(packages, '@tensorflow', 'tfjs-backend-wasm', 'dist') + path.sep,
  modelBasePath: pathToFileURL(models).href + '/',
  debug: false,
  cacheSensitivity: 0,
  filter: { enabled: false },
  face: {
    enabled: true,
    detector: { rotation: false, maxDetected: 1 },
    mesh: { enabled: false },
    iris: { enabled: false },
    emotion: { enabled: false },
    description: { enabled: head === 'faceres' },
    ssrnet: { enabled: head === 'ssrnet', modelPathAge: 'age.json', modelPathGender: 'gender.json' },
  },
  body: { enabled: false },
  hand: { enabled: false },
  object: { enabled: false },
  gesture: { enabled: false },
});
await human.load();
await human.tf.ready();

for await (const line of readline.createInterface({ input: process.stdin })) {
  const began = performance.now();
  const { data, width, height } = jpeg.decode(fs.readFileSync(line.trim()), { useTArray: true, formatAsRGBA: false });
  const picture = human.tf.tensor(data, [1, height, width, 3], 'float32');
  const result = await human.detect(picture);
  human.tf.dispose(picture);
  const age = result.face.length && result.face[0].age ? result.face[0].age : null;
  console.log(JSON.stringify({ age, ms: performance.now() - began }));
}
