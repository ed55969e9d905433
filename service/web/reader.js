// Asks the service about the photographs, a few at a time, the one that is shown first.

import { predict, Problem } from "./api.js";
import { keyOf } from "./store.js";

const AT_ONCE = 3;

export class Reader {
  #store;
  #busy = 0;
  #ready;

  /** Nothing is asked before `ready` settles: until then the default model's name is unknown. */
  constructor(store, ready) {
    this.#store = store;
    this.#ready = false;
    ready.finally(() => {
      this.#ready = true;
      store.update();
    });
    store.subscribe(() => this.#pump());
  }

  /** Ask again what failed. */
  retry(item) {
    for (const [key, reading] of item.readings) if (reading.state === "failed") item.readings.delete(key);
    this.#store.update();
  }

  #pump() {
    if (!this.#ready) return;
    for (const [item, model] of this.#wanted()) {
      if (this.#busy >= AT_ONCE) return;
      if (!this.#store.reading(item, model)) this.#read(item, this.#store.question(item, model));
    }
  }

  *#wanted() {
    const { current, items, compare, models, model } = this.#store;
    if (!current) return;
    yield [current, model];
    if (compare) for (const { name } of models) yield [current, name];
    for (const item of items) yield [item, model];
  }

  async #read(item, question) {
    const store = this.#store;
    const note = (reading) => {
      item.readings.set(keyOf(question), { question, ...reading });
      store.update();
    };
    this.#busy += 1;
    note({ state: "asked" });
    try {
      const onWait = (wait) => note({ state: "asked", wait });
      const reply = await predict(item.file, question, { key: store.key, signal: item.gone.signal, onWait });
      note({ state: "read", reply });
      if (question.model === store.model) item.latest = store.reading(item, question.model) ?? item.latest;
    } catch (error) {
      if (error instanceof Problem) note({ state: "failed", problem: error });
      else if (error.name !== "AbortError") note({ state: "failed", problem: new Problem(0) });
    } finally {
      this.#busy -= 1;
      store.update();
    }
  }
}
