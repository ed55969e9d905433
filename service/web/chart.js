// The distribution over the ages 0…100; it shares its axis with the slider beneath it.

import { s } from "./dom.js";
import { atLeast, meanOf, medianOf, smoothDensity } from "./distribution.js";
import { percent, range, years } from "./words.js";

const MARGIN = 13; // half the slider's thumb and its border, so that thumb and plot line up
const HEIGHT = 226;
const HILL = { top: 62, bottom: 182 };
const TICKS = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
const LABEL_PX = 84; // room that the label of the threshold takes

/** Horizontal place of an age in a plot `width` pixels wide. */
export function placeOf(age, width) {
  return MARGIN + (age / 100) * (width - 2 * MARGIN);
}

/** The age at a horizontal place, a whole number within 1…100. */
export function ageAt(x, width) {
  const age = Math.round((100 * (x - MARGIN)) / (width - 2 * MARGIN));
  return Math.min(100, Math.max(1, age));
}

/** How likely each age is, smoothed, solid from the threshold on, with interval and median. */
export function densityChart(face, threshold, width) {
  const median = medianOf(face.threshold_probabilities);
  const x = (age) => placeOf(age, width);
  return plot(width, saidOf(face, median, threshold), [
    ...TICKS.map((age) => s("path", { class: "tick-mark", d: `M${x(age)} ${HILL.bottom}v4` })),
    ...TICKS.map((age) => label(age, x(age), HILL.bottom + 18, "middle", "tick")),
    label("age in years", x(50), HEIGHT - 6, "middle", "tick"),
    ...hill(smoothDensity(face), threshold, x),
    s("path", { class: "axis", d: `M${x(0)} ${HILL.bottom}H${x(100)}` }),
    ...bracket(face.interval, x, width),
    s("path", { class: "median", d: `M${x(median)} ${HILL.top}V${HILL.bottom}` }),
    ...gate(face, threshold, median, x, width),
  ]);
}

/** A small picture of a distribution and its interval over the ages `from` to `to`, for models beside each other. */
export function sketch(face, [from, to], width = 120, height = 36) {
  const x = (age) => ((age - from) / (to - from)) * width;
  const points = smoothDensity(face).filter(({ age }) => age > from - 1 && age < to + 1);
  const line = outline(points, x, height - 1, height - 4);
  const { low, high } = face.interval;
  return s(
    "svg",
    { class: "sketch", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "band", x: x(low - 0.5), width: x(high + 0.5) - x(low - 0.5), y: 0, height }),
    s("path", { class: "under", d: `${line}V${height}H${x(points[0].age)}Z` }),
    s("path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }),
  );
}

function saidOf(face, median, threshold) {
  const { low, high, level } = face.interval;
  return (
    `How likely each age from 0 to 100 is. Median ${years(median)}, mean ${years(meanOf(face.threshold_probabilities))}, ` +
    `${Math.round(100 * level)}% interval ${low} to ${high}. ` +
    `${threshold} or older: ${percent(atLeast(face.threshold_probabilities, threshold))}.`
  );
}

function plot(width, text, children) {
  return s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": text }, ...children);
}

/** The hill in two parts: an age of `threshold` begins half a year before it. */
function hill(points, threshold, x) {
  const line = outline(points, x, HILL.bottom, HILL.bottom - HILL.top - 4);
  const parts = [
    ["below", -0.5, threshold - 0.5],
    ["from", threshold - 0.5, 100.5],
  ].map(([name, low, high]) => {
    const clip = `clip-${name}`;
    const window = { x: x(low), width: x(high) - x(low), y: 0, height: HILL.bottom };
    return [
      s("clipPath", { id: clip }, s("rect", window)),
      s("path", { class: `hill ${name}`, d: `${line}V${HILL.bottom}H${x(-0.5)}Z`, "clip-path": `url(#${clip})` }),
    ];
  });
  return [...parts.flat(), s("path", { class: "line", d: line })];
}

function outline(points, x, bottom, tall) {
  const highest = Math.max(...points.map(({ density }) => density));
  const to = ({ age, density }) => `${x(age).toFixed(2)} ${(bottom - (density / highest) * tall).toFixed(2)}`;
  return `M${points.map(to).join("L")}`;
}

function bracket(interval, x, width) {
  const [left, right] = [x(interval.low - 0.5), x(interval.high + 0.5)];
  const text = `${Math.round(100 * interval.level)}%: ${range(interval)}`;
  return [
    s("path", { class: "bracket", d: `M${left} 28v-6H${right}v6` }),
    label(text, clamp((left + right) / 2, 62, width - 62), 14, "middle", "bracket-label"),
  ];
}

/** The threshold's line; its label stands on the side away from the median. */
function gate(face, threshold, median, x, width) {
  const at = x(threshold);
  const room = { end: at > LABEL_PX, start: at < width - LABEL_PX };
  const anchor = (threshold <= median && room.end) || !room.start ? "end" : "start";
  const text = `${threshold}+ ${percent(atLeast(face.threshold_probabilities, threshold))}`;
  return [
    s("path", { class: "drop", d: `M${at} 40V${HILL.bottom}` }),
    s("circle", { class: "dot", cx: at, cy: HILL.bottom, r: 4.5 }),
    label(text, at + (anchor === "end" ? -6 : 6), 50, anchor, "gate-label"),
  ];
}

function label(text, x, y, anchor, name) {
  return s("text", { class: name, x, y, "text-anchor": anchor }, String(text));
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
