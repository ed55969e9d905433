// Two plots over the ages 0…100 that share their horizontal axis with the slider beneath them.

import { s } from "./dom.js";
import { massOf, meanOf, medianOf } from "./distribution.js";
import { percent, range, years } from "./words.js";

const MARGIN = 13; // half the slider's thumb and its border, so that thumb and plots line up
const MASS = { height: 172, top: 40, bottom: 136 };
const CURVE = { height: 112, top: 8, bottom: 88 };

/** Horizontal place of an age in a plot `width` pixels wide. */
export function placeOf(age, width) {
  return MARGIN + (age / 100) * (width - 2 * MARGIN);
}

/** The age at a horizontal place, a whole number within 1…100. */
export function ageAt(x, width) {
  const age = Math.round((100 * (x - MARGIN)) / (width - 2 * MARGIN));
  return Math.min(100, Math.max(1, age));
}

/** The probability of each age, solid from the threshold on, with interval, median and mean. */
export function massChart(face, threshold, width) {
  const mass = massOf(face.threshold_probabilities);
  const median = medianOf(face.threshold_probabilities);
  const mean = meanOf(face.threshold_probabilities);
  const { low, high, level } = face.interval;
  const x = (age) => placeOf(age, width);
  const label =
    `Probability of each age from 0 to 100. Median ${years(median)}, mean ${years(mean)}, ` +
    `${Math.round(100 * level)}% interval ${low} to ${high}.`;
  return plot(width, MASS.height, label, [
    s("rect", { class: "band", x: x(low - 0.5), width: x(high + 0.5) - x(low - 0.5), y: MASS.top, height: MASS.bottom - MASS.top }),
    ...bars(mass, threshold, x),
    s("path", { class: "axis", d: `M${x(-0.5)} ${MASS.bottom}H${x(100.5)}` }),
    ...marker("mean", mean, 34, x, width),
    ...marker("median", median, 16, x, width),
    s("path", { class: "bracket", d: `M${x(low - 0.5)} ${MASS.bottom + 6}v5H${x(high + 0.5)}v-5` }),
    halo(`${Math.round(100 * level)}%: ${range(face.interval)}`, clamp(x((low + high) / 2), 44, width - 44), MASS.bottom + 28, "middle", "band-label"),
  ]);
}

/** P(age ≥ t) over t, read at the threshold. */
export function curveChart(face, threshold, width) {
  const x = (age) => placeOf(age, width);
  const y = (p) => CURVE.bottom - p * (CURVE.bottom - CURVE.top);
  const at = face.threshold_probabilities[threshold - 1];
  const line = [`M${x(0)} ${y(1)}`, ...face.threshold_probabilities.map((p, k) => `L${x(k + 1)} ${y(p)}`)].join("");
  const label = `Probability of being at least a given age. At ${threshold} years: ${percent(at)}.`;
  return plot(width, CURVE.height, label, [
    ...[0, 0.5, 1].map((p) => s("path", { class: p ? "grid" : "axis", d: `M${x(0)} ${y(p)}H${x(100)}` })),
    s("path", { class: "under", d: `${line}V${y(0)}H${x(0)}Z` }),
    s("path", { class: "line", d: line }),
    s("path", { class: "drop", d: `M${x(threshold)} ${y(at)}V${y(0)}` }),
    s("circle", { class: "dot", cx: x(threshold), cy: y(at), r: 5.5 }),
    ...[0, 20, 40, 60, 80, 100].map((age) => halo(age, x(age), CURVE.bottom + 17, "middle", "tick")),
    halo("50%", x(100), y(0.5) - 4, "end", "tick"),
  ]);
}

/** A small picture of a distribution and its interval, for the models side by side. */
export function sketch(face, width = 120, height = 34) {
  const mass = massOf(face.threshold_probabilities);
  const tallest = Math.max(...mass);
  const x = (age) => (age / 100) * width;
  const y = (p) => height - 1 - (p / tallest) * (height - 4);
  const line = mass.map((p, age) => `${age ? "L" : "M"}${x(age)} ${y(p)}`).join("");
  const { low, high } = face.interval;
  return s(
    "svg",
    { class: "sketch", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "band", x: x(low - 0.5), width: x(high - low + 1), y: 0, height }),
    s("path", { class: "under", d: `${line}V${height}H0Z` }),
    s("path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }),
  );
}

function plot(width, height, label, children) {
  return s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...children);
}

function bars(mass, threshold, x) {
  const tallest = Math.max(...mass);
  const wide = x(1) - x(0);
  return mass.map((p, age) => {
    const tall = (p / tallest) * (MASS.bottom - MASS.top - 2);
    const place = { x: x(age) - wide / 2 + 0.25, width: wide - 0.5, y: MASS.bottom - tall, height: tall };
    return s("rect", { class: age >= threshold ? "bar" : "bar below", ...place });
  });
}

function marker(name, age, baseline, x, width) {
  const left = x(age) > 0.55 * width;
  const text = halo(`${name} ${years(age)}`, x(age) + (left ? -6 : 6), baseline, left ? "end" : "start", `${name}-label`);
  return [s("path", { class: name, d: `M${x(age)} ${baseline - 11}V${MASS.bottom}` }), text];
}

function halo(text, x, y, anchor, name) {
  return s("text", { class: name, x, y, "text-anchor": anchor }, String(text));
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
