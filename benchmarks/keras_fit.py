"""Measure what `fit` with Keras's own callbacks keeps of a training run, beside a loop over `train_on_batch`.

`KERAS_BACKEND=tensorflow .venv-training/bin/python -m benchmarks.keras_fit`; docs/adr/0016 has the figures.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

SIZE, BATCH, STEPS, EPOCHS = 32, 32, 12, 3
BREAK_AT, SAVE_EVERY = 20, 5

Arrays = list[Any]


def batch_of(epoch: int, step: int) -> tuple[Any, Any]:
    """Return noise whose brightness tells its class, and the class; they depend on epoch and step alone."""
    rng = np.random.default_rng((epoch, step))
    label = rng.integers(0, 10, BATCH)
    faces = rng.normal(0, 40, (BATCH, SIZE, SIZE, 3)) + 20 * label[:, None, None, None]
    return faces.astype(np.float32), label


class Batches(keras.utils.PyDataset):
    """The batches of the epoch that `Log` says is running."""

    epoch = 0

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, step: int) -> tuple[Any, Any]:
        return batch_of(self.epoch, step)


class Log(keras.callbacks.Callback):
    """Notes which steps were taken, and breaks the run off after so many."""

    def __init__(self, data: Batches, break_at: int | None, taken: list[tuple[int, int]]) -> None:
        super().__init__()
        self.data, self.break_at, self.taken = data, break_at, taken

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras passes both
        self.data.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras passes both
        self.taken.append((self.data.epoch, batch))
        if len(self.taken) == self.break_at:
            raise KeyboardInterrupt


def compiled() -> keras.Model:
    """Return two convolutions with batch norm and dropout under AdamW, from the same start each time."""
    keras.utils.set_random_seed(1)
    x = faces = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    for width in (16, 32):
        x = keras.layers.Conv2D(width, 3, strides=2, use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.97)(x))
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(faces, keras.layers.Dense(10)(x))
    model.compile(keras.optimizers.AdamW(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    return model


def values(variables: Any) -> Arrays:
    return [np.array(keras.ops.convert_to_numpy(each)) for each in variables]


def fitted(folder: str, break_at: int | None, taken: list[tuple[int, int]]) -> Arrays:
    model, data = compiled(), Batches()
    backup = keras.callbacks.BackupAndRestore(folder, save_freq=SAVE_EVERY, delete_checkpoint=False)
    with contextlib.suppress(KeyboardInterrupt):
        model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[backup, Log(data, break_at, taken)])
    return values(model.weights)


def looped(break_at: int | None) -> Arrays:
    model, step = compiled(), 0
    saved: tuple[Arrays, int] = ([], 0)
    while step < STEPS * EPOCHS:
        model.train_on_batch(*batch_of(*divmod(step, STEPS)))
        step += 1
        if step % SAVE_EVERY == 0:
            saved = values((*model.variables, *model.optimizer.variables)), step
        if step == break_at:
            model, (kept, step), break_at = compiled(), saved, None
            for variable, value in zip((*model.variables, *model.optimizer.variables), kept, strict=True):
                variable.assign(value)
    return values(model.weights)


def apart(left: Arrays, right: Arrays) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(left, right, strict=True))


def resume() -> dict[str, Any]:
    """Break a run off inside its second epoch and go on from its last checkpoint."""
    taken: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        whole = fitted(one, None, [])
        fitted(two, BREAK_AT, taken)
        resumed = fitted(two, None, taken)
    return {
        "BackupAndRestore, largest difference of a weight from the unbroken run": apart(whole, resumed),
        "BackupAndRestore, steps taken twice": len(taken) - len(set(taken)),
        "loop, largest difference of a weight from the unbroken run": apart(looped(None), looped(BREAK_AT)),
        "loop, steps taken twice": BREAK_AT % SAVE_EVERY,
    }


class Stopped(keras.callbacks.Callback):
    """Sets a rate of 0 before each step, as a schedule by the clock sets its own, and reads the weights after it."""

    def __init__(self, rate: float | None) -> None:
        super().__init__()
        self.rate, self.read = rate, set[float]()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras passes both
        if self.rate is not None:
            self.model.optimizer.learning_rate.assign(self.rate)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras passes both
        self.read.add(float(values(self.model.weights[:1])[0].sum()))


def between_steps() -> dict[str, Any]:
    """Count the different weights that a callback of `fit` reads: one at a rate of 0 that it sets, one a step else."""
    found = {}
    for rate in (0.0, None):
        callback = Stopped(rate)
        compiled().fit(Batches(), shuffle=False, verbose=0, callbacks=[callback])
        found[f"different weights read in {STEPS} steps, rate set to {rate}"] = len(callback.read)
    return found


def not_a_number() -> dict[str, Any]:
    """See whether a backup is left where the loss stops being a number."""
    found = {}
    for raise_error in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            model, backup = compiled(), Path(folder) / "backup"
            spoil = keras.callbacks.LambdaCallback(
                on_train_batch_begin=lambda batch, model=model, **_: (
                    batch == 6 and model.weights[0].assign(model.weights[0] * np.nan)
                )
            )
            stop = keras.callbacks.TerminateOnNaN(raise_error=raise_error)
            with contextlib.suppress(RuntimeError):
                keep = keras.callbacks.BackupAndRestore(str(backup), save_freq=2)
                model.fit(Batches(), shuffle=False, verbose=0, callbacks=[keep, stop, spoil])
            found[f"TerminateOnNaN(raise_error={raise_error}) leaves a backup"] = backup.is_dir()
    return found


def cost(way: str) -> dict[str, Any]:
    """Measure the processor time of a step, and the highest memory of this process."""
    model, rounds = compiled(), 20
    ready = [batch_of(0, step) for step in range(STEPS)]
    data = Batches()
    # Batches are made before, so that only steps are timed.
    data.__class__.__getitem__ = lambda _, step: ready[step]  # type: ignore[method-assign]
    model.fit(data, shuffle=False, verbose=0) if way == "fit" else model.train_on_batch(*ready[0])
    start = time.process_time()
    if way == "fit":
        model.fit(data, epochs=rounds, shuffle=False, verbose=0)
    else:
        for _ in range(rounds):
            for batch in ready:
                model.train_on_batch(*batch)
    spent_s = (time.process_time() - start) / (rounds * STEPS)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {f"{way}, processor ms a step": round(1000 * spent_s, 2), f"{way}, highest memory in MB": round(memory_mb)}


def average() -> dict[str, Any]:
    """Return val MAE in years by epoch, of the last weights and of their average with and without statistics."""
    return {f"seed {seed}": _averaged(seed) for seed in (1, 2, 3)}


def _averaged(seed: int) -> dict[str, list[float]]:
    from dataclasses import replace

    from training.data.store import FaceStore, train_batches
    from training.data.synthetic import synthetic_store
    from training.fit.learner import Learner
    from training.fit.train import select
    from training.fit.weight_average import assign, read
    from training.measures.validation import score
    from training.model.initialise import new_model
    from training.recipes.recipe import recipe_named

    recipe = replace(recipe_named("smoke"), ema_decay=0.98)
    keras.utils.set_random_seed(seed)
    found: dict[str, list[float]] = {"last weights": [], "average of use_ema": [], "average with statistics": []}
    with tempfile.TemporaryDirectory() as folder:
        store = FaceStore.open(synthetic_store(Path(folder) / "drawn", 1200, size=recipe.size))
        faces, val = (select(recipe, [store], split) for split in ("train", "val"))
        learner = Learner(new_model(recipe, faces), recipe)
        learner.begin(recipe.stages[1])
        weights = learner.network.weights
        trainable = {id(each) for each in learner.network.trainable_weights}
        for epoch, rate in enumerate((3e-3, 3e-3, 2e-3, 1e-3, 5e-4, 2e-4)):
            for batch in train_batches(faces, recipe.size, 32, recipe.augmentation, "uniform", seed, epoch):
                learner.step(batch, rate, ramp=1.0, done=0.0)
            own, mean = read(weights), learner.average.values
            pairs = list(zip(weights, own, mean, strict=True))
            mixed = [average if id(each) in trainable else last for each, last, average in pairs]
            for errors, arrays in zip(found.values(), (own, mixed, mean), strict=True):
                assign(weights, arrays)
                errors.append(round(score(learner.predict, val, recipe.size, recipe.batch_size).mae, 3))
            assign(weights, own)
    return found


MEASUREMENTS = {each.__name__: each for each in (resume, between_steps, not_a_number, average)}

if __name__ == "__main__":
    print(json.dumps({"keras": keras.__version__, "backend": keras.backend.backend()}))
    for name in sys.argv[1:] or MEASUREMENTS:
        print(json.dumps(cost(name) if name in ("fit", "loop") else MEASUREMENTS[name](), indent=1), flush=True)
