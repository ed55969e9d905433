// Arithmetic on a reply's `threshold_probabilities`: the k-th of 100 is P(age > k).

const STEP_YEARS = 0.25;
const WIDTH_SHARE = 0.3; // of the standard deviation: the smoothed curve is at most 5 % wider than the distribution

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

/**
 * The distribution as a smooth curve, [{age, density}] from −½ to 100½: age k spread evenly over [k − ½, k + ½), then
 * averaged under a Gaussian that is narrow beside the distribution itself; what would leave the range is reflected.
 */
export function smoothDensity({ threshold_probabilities: thresholds, standard_deviation: deviation }) {
  const mass = massOf(thresholds);
  const cells = Array.from({ length: mass.length / STEP_YEARS }, (_, cell) => mass[Math.floor(cell * STEP_YEARS)]);
  const kernel = gaussian((WIDTH_SHARE * deviation) / STEP_YEARS);
  const reach = (kernel.length - 1) / 2;
  return cells.map((_, cell) => ({
    age: (cell + 0.5) * STEP_YEARS - 0.5,
    density: kernel.reduce((sum, weight, i) => sum + weight * cells[reflected(cell + i - reach, cells.length)], 0),
  }));
}

function gaussian(width) {
  const reach = Math.ceil(3 * width);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-0.5 * ((i - reach) / Math.max(width, 1e-9)) ** 2));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function reflected(cell, length) {
  if (cell < 0) return Math.min(length - 1, -cell - 1);
  return cell < length ? cell : Math.max(0, 2 * length - cell - 1);
}
