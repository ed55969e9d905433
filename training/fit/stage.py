"""One stage of a run: epochs, steps, validation, checkpoints and the best weights."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from training.data.store import FaceSet, steps_in_epoch, train_batches
from training.errors import LossNotFinite
from training.fit.checkpoint import Checkpoint
from training.fit.display import Display
from training.fit.learner import Learner
from training.fit.schedule import Progress, fraction, learning_rate, time_left_s
from training.measures.validation import Scores, mae_by_source, score
from training.recipes.recipe import Recipe, Stage
from training.run_folder import UNBLENDED
from training.teaching.agreement import Agreement
from training.tracking.gallery import pictures
from training.tracking.trackers import Tracker

EPOCHS_APART = 10_000
"""Keeps the random order of one stage's epochs apart from the next stage's."""


@dataclass
class StageRun:
    """A running stage; `progress` is replaced after every step."""

    recipe: Recipe
    learner: Learner
    train_faces: FaceSet
    val_faces: FaceSet
    progress: Progress
    run_dir: Path
    budget_s: float | None
    tracker: Tracker
    display: Display
    agreement: Agreement | None = None

    def run(self) -> Progress:
        """Train until the epochs, the time or the patience end; return where the stage ended."""
        self._clock = time.monotonic() - self.progress.elapsed_s
        self.display.stage(self.stage, self.steps)
        # A run that was cut off between an epoch's last step and its validation resumes with the validation.
        while self.progress.step or not self._is_over():
            self._epoch()
            scores = self._validate()
            self._keep_if_best(scores)
            self._advance(epoch=self.progress.epoch + 1, step=0)
            self.save()
        return self.progress

    @property
    def stage(self) -> Stage:
        """The stage that runs."""
        return self.recipe.stages[self.progress.stage]

    @property
    def steps(self) -> int:
        """Steps in one epoch."""
        return steps_in_epoch(self.train_faces, self.recipe.batch_size)

    def save(self) -> None:
        """Write a checkpoint."""
        model, average, optimizer = self.learner.state()
        Checkpoint(self.recipe.to_json(), self.progress, model, average, optimizer).save(self.run_dir)

    def _advance(self, **changes: object) -> None:
        elapsed = time.monotonic() - self._clock
        self.progress = replace(self.progress, elapsed_s=elapsed, **changes)  # type: ignore[arg-type]

    def _done(self) -> float:
        return fraction(self.progress, self.steps, self.recipe.stages, self.budget_s)

    def _is_over(self) -> bool:
        patience = self.stage.patience
        waited = self.progress.epoch - 1 - self.progress.best_epoch
        return self._done() >= 1 or bool(patience and self.progress.epoch and waited >= patience)

    def _epoch(self) -> None:
        recipe, progress = self.recipe, self.progress
        epoch = progress.stage * EPOCHS_APART + progress.epoch
        batches = train_batches(
            self.train_faces,
            recipe.size,
            recipe.batch_size,
            self.stage.augmentation or recipe.augmentation,
            recipe.sampling,
            recipe.seed,
            epoch,
            progress.step,
            self.stage.mixing,
            self.learner.wants_framed,
        )
        for batch in batches:
            done = self._done()
            if done >= 1:
                break
            rate = learning_rate(self.stage, self.progress.stage_steps, done)
            loss = self.learner.step(batch, rate, self._ramp(), done)
            if not isfinite(loss):
                raise LossNotFinite(
                    f"the loss became {loss} in step {self.progress.total_steps + 1} at a learning rate of {rate:.1e}; "
                    f"the checkpoint in {self.run_dir} is older: train again with a lower learning_rate or clip_norm"
                )
            self._count(loss, rate)

    def _ramp(self) -> float:
        ramp_steps = self.recipe.ramp_epochs * self.steps
        return min(1.0, self.progress.total_steps / ramp_steps) if ramp_steps else 1.0

    def _count(self, loss: float, rate: float) -> None:
        progress = self.progress
        self._advance(
            step=progress.step + 1, stage_steps=progress.stage_steps + 1, total_steps=progress.total_steps + 1
        )
        self.tracker.scalars(self.progress.total_steps, {"loss": loss, "learning_rate": rate})
        self.display.step(self.progress, loss, time_left_s(self.progress, self._done()))
        if self.progress.step % self.recipe.checkpoint_steps == 0:
            self.save()

    def _validate(self) -> Scores:
        size, batch = self.recipe.size, self.recipe.batch_size
        with self.learner.averaged():
            scores = score(self.learner.predict, self.val_faces, size, batch)
            agreed = self.agreement.of(self.learner.predict, scores, size, batch) if self.agreement else {}
        measured = {f"val_mae/{source}": mae for source, mae in mae_by_source(scores, self.val_faces).items()} | agreed
        self.tracker.scalars(self.progress.total_steps, {"val_mae": scores.mae, **measured})
        for name, pixels in pictures(self.val_faces, scores, size).items():
            self.tracker.image(self.progress.total_steps, name, pixels)
        self.display.validated(self.progress, scores.mae, measured)
        return scores

    def _keep_if_best(self, scores: Scores) -> None:
        if scores.mae >= self.progress.best_mae:
            return
        self.learner.keep_best(self.run_dir)
        (self.run_dir / UNBLENDED).unlink(missing_ok=True)
        self._advance(best_mae=scores.mae, best_epoch=self.progress.epoch, best_spread=scores.spread)
