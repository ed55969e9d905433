// The page's state, and the one way to change it.

/** Tells its listeners once for all changes of one turn of the event loop. */
export class Store {
  #listeners = [];
  #due = false;

  models = []; // as GET /models lists them
  model = null; // the chosen model's name; null asks for the service's default
  level = 0.9; // of the interval
  threshold = 18; // t of P(age ≥ t)
  compare = false; // all models side by side
  key = null; // the API key, where the service wants one
  items = []; // the photographs, in the order they came
  current = null; // the photograph that is shown

  /** Change fields and tell the listeners. */
  update(change = {}) {
    Object.assign(this, change);
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      for (const listener of this.#listeners) listener(this);
    });
  }

  /** Call `listener(store)` after each change. */
  subscribe(listener) {
    this.#listeners.push(listener);
  }

  /** The question that the page now asks of `item`, of the chosen model or of another. */
  question(item, model = this.model) {
    return { model, level: this.level, threshold: this.threshold, detect: item.detect };
  }

  /** What is known of `item` under the present settings; undefined where it was never asked. */
  reading(item, model = this.model) {
    return item?.readings.get(keyOf(this.question(item, model)));
  }

  /** The current photograph's reading, reply and chosen face; the last reply stays until the next one comes. */
  get shown() {
    const { current } = this;
    const reading = this.reading(current);
    const stale = reading?.state !== "read" && reading?.state !== "failed" ? current?.latest : null;
    const answered = stale ?? reading;
    const reply = answered?.reply ?? null;
    return { reading: answered, reply, face: reply?.faces[current.face] ?? null, stale: Boolean(stale) };
  }
}

/** One photograph and all that was read of it. */
export class Item {
  readings = new Map(); // key of a question → {state, question, reply | problem | wait}
  latest = null; // the last reading of a chosen model with a reply
  face = 0; // index of the chosen face
  detect = true; // false: the whole picture is one face
  gone = new AbortController();

  /** `source`: the address that others can fetch the file from, if there is one. */
  constructor(file, source = null) {
    this.file = file;
    this.source = source;
    this.name = file.name || "picture";
    this.url = URL.createObjectURL(file);
  }

  /** Stop what is under way and let the picture go. */
  release() {
    this.gone.abort();
    URL.revokeObjectURL(this.url);
  }
}

/** The key under which a question's reading is kept: any reply answers every threshold. */
export function keyOf({ model, level, detect }) {
  return `${model ?? ""}|${level}|${detect}`;
}
