// Everything the page says: figures, warnings and errors in plain language.

const WARNINGS = {
  small_face: "This face is small. A closer picture would give a surer estimate.",
  low_confidence: "This may not be a face.",
  near_border: "Part of this face may lie outside the picture.",
  turned_away: "This face is turned away from the camera. One from the front would give a surer estimate.",
  exposure: "This face is very dark, very bright or flat. Better light would give a surer estimate.",
  blurred: "This face is blurred. A sharper picture would give a surer estimate.",
  squeezed: "This face is unusually narrow. If the picture was squeezed, the age is too high.",
  few_shades: "This looks like a drawing, or a picture of very few colours.",
  outside_prior: "By its looks this person is none of those that the estimate was asked to be among.",
  wide_interval: "The model is less sure than usual of this face.",
  edge_of_range: "The estimate is near 0 or 100, the end of what the model knows.",
  views_capped: "The picture is too large or too full to search all of it closely. Faces may be missing.",
  more_faces: "There are more faces in the picture than are shown.",
};

/** A warning's sentence; one that this page does not know, by its name. */
export function warning(code) {
  return WARNINGS[code] ?? `The service warns: ${code}`;
}

/** The warnings of a reply: of the picture, then of the chosen face. */
export function warningsOf(reply, face) {
  const { image, warnings = [] } = reply ?? {};
  return [...new Set([...(image?.more_faces ? ["more_faces"] : []), ...(image?.warnings ?? []), ...warnings, ...(face?.warnings ?? [])])];
}

/** A probability as a percentage; certainty is never claimed. */
export function percent(p) {
  if (p > 0.9995) return ">99.9%";
  if (p < 0.0005) return "<0.1%";
  return `${(100 * p).toFixed(1)}%`;
}

/** The same to begin a sentence with. */
export function chance(p) {
  return percent(p).replace(">", "More than ").replace("<", "Less than ");
}

/** An estimated age: the number, and the words before and after it. */
export function ageInWords(age) {
  const whole = Math.round(age);
  if (whole < 1) return { before: "under ", number: "1", after: " year old" };
  return { before: "about ", number: String(whole), after: whole === 1 ? " year old" : " years old" };
}

/** An interval as a sentence; one of even chances is not called likely. */
export function rangeInWords({ level, low, high }) {
  const ages = low === high ? `${low}` : `${low} to ${high}`;
  return `${level > 0.5 ? "Most likely" : "As likely as not"} ${ages}`;
}

/** Years with one decimal. */
export function years(value) {
  return value.toFixed(1);
}

/** "1 face", "3 faces". */
export function count(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

/** An interval's ages, both included. */
export function range(interval) {
  return interval.low === interval.high ? `${interval.low}` : `${interval.low}–${interval.high}`;
}

/** What a screen reader says of a face. */
export function describe(face, index, total) {
  const { level, low, high } = face.interval;
  return `Face ${index + 1} of ${total}, about ${Math.round(face.age)} years, ${low} to ${high} at ${Math.round(100 * level)}%`;
}

// By the last part of a problem's type, else by its status; 0: no answer came.
const TROUBLE = {
  0: ["The service cannot be reached", "See that it is running and that you are connected, then try again."],
  400: ["The request was not understood", "Load this page anew: it and the service may be of different versions."],
  401: ["A key is needed", "This service asks for an API key."],
  408: ["Sending took too long", "The connection may be slow. Try again, or send a smaller picture."],
  413: ["The picture is too large", "Scale it to 3,000 pixels or fewer on the longer side, save it as a JPEG, and try that copy."],
  415: ["This kind of file is not read", "JPEG, PNG, WebP and AVIF work. Save others, such as GIF or TIFF, as JPEG."],
  422: ["The request was not understood", "Load this page anew: it and the service may be of different versions."],
  429: ["Too many pictures at once", "Wait a little, then try again."],
  503: ["The service is busy", "It has more to do than it can take on. Try again in a moment."],
  504: ["It took too long", "The service gave up on this picture. Try again, or send a smaller one."],
  "corrupt-picture": ["The picture is damaged", "It may be cut short. Open it in another program, save it anew, and try that copy."],
  "not-ready": ["The service is not ready", "It is starting or about to stop. Try again in a moment."],
};
const UNKNOWN = [
  "Something went wrong in the service",
  "Try again. If it stays so, tell whoever runs it, with the number of the request.",
];

/** A problem's title and advice, in plain language. */
export function explain(problem) {
  const [title, advice] = TROUBLE[problem.kind] ?? TROUBLE[problem.status] ?? UNKNOWN;
  return { title, advice };
}
