// Names that people understand for the models, from what GET /models says of each.

const ENSEMBLE = "ensemble";
const OPINIONS = ["Second opinion", "Third opinion"];

/** The models with what to call each, [{model, title}]; one that has no part of its own among them keeps its name. */
export function titled(models) {
  const parts = models.length > 1 ? partsOf(models) : [];
  const named = parts.filter(({ model }) => model);
  const others = models.filter((model) => !named.some((part) => part.model === model));
  return [...named, ...others.map((model) => ({ model, title: model.name }))];
}

function partsOf(models) {
  const best = lowestError(models.filter((model) => Number.isFinite(errorOf(model))));
  const networks = models.filter((model) => model.precision === "int8" && model.family !== ENSEMBLE);
  // One that looks at the mirror image too takes twice as long.
  const fast = networks.find((model) => model.default) ?? networks.find((model) => !model.flip) ?? networks[0];
  const free = models.filter((model) => model !== best && model !== fast);
  const opinions = free.filter((each) => networks.includes(each) && each.family !== fast.family);
  return [
    { model: fast, title: fast === best ? "Fast and most accurate" : "Fast" },
    { model: best === fast ? undefined : best, title: "Most accurate" },
    { model: free.find((each) => isFullPrecision(each, networks)), title: "Full precision" },
    ...OPINIONS.map((title, i) => ({ model: opinions[i], title })),
  ];
}

function isFullPrecision(model, networks) {
  return model.precision === "float32" && networks.some(({ family }) => family === model.family);
}

/** Mean absolute error in years on test photographs, or on those that the model was chosen by; undefined where not measured. */
export function errorOf({ metrics }) {
  return metrics?.test_mae ?? metrics?.val_mae;
}

function lowestError(models) {
  return [...models].sort((one, other) => (errorOf(one) ?? Infinity) - (errorOf(other) ?? Infinity))[0];
}
