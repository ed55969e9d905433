// Arithmetic on a reply's `threshold_probabilities`: the k-th of 100 is P(age > k).

/** P(age = k) for k = 0…100. */
export function massOf(thresholds) {
  const edges = [1, ...thresholds, 0];
  return Array.from({ length: edges.length - 1 }, (_, k) => Math.max(0, edges[k] - edges[k + 1]));
}

/** Mean age in years, Σ P(age > k). */
export function meanOf(thresholds) {
  return thresholds.reduce((sum, p) => sum + p, 0);
}

/** Median age in years, with age k spread evenly over [k − ½, k + ½), as the service defines it. */
export function medianOf(thresholds) {
  let below = 0;
  for (const [k, mass] of massOf(thresholds).entries()) {
    if (below + mass >= 0.5 && mass > 0) return Math.min(100, Math.max(0, k - 0.5 + (0.5 - below) / mass));
    below += mass;
  }
  return 100;
}

/** P(age ≥ t) for t = 1…100: the reply's own number. */
export function atLeast(thresholds, t) {
  return thresholds[t - 1];
}
