"""The progress of a run, and its learning-rate schedule."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, inf, pi

from training.recipes.recipe import Stage


@dataclass(frozen=True, slots=True)
class Progress:
    """Place in a recipe: stage, epoch in it, step in that epoch; `stage_steps` and `total_steps` only grow.

    `elapsed_s` is the training time, interruptions excluded; `stage_began_s` is its value when the stage began.
    `best_mae` and `best_spread` are error and standard deviation of the ages on `val` at `best_epoch`, in years;
    `start_mae` is the error of a trained network that the run began with, before the first step.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    stage_steps: int = 0
    total_steps: int = 0
    elapsed_s: float = 0.0
    stage_began_s: float = 0.0
    best_mae: float = inf
    best_epoch: int = -1
    best_spread: float = inf
    start_mae: float = inf

    def next_stage(self) -> Progress:
        """Return the beginning of the stage after this one."""
        return Progress(
            stage=self.stage + 1,
            total_steps=self.total_steps,
            elapsed_s=self.elapsed_s,
            stage_began_s=self.elapsed_s,
            start_mae=self.start_mae,
        )


def fraction(progress: Progress, steps_in_epoch: int, stages: tuple[Stage, ...], budget_s: float | None) -> float:
    """Return how much of the stage is over, 0..1: by steps, or by time where a budget runs out sooner.

    Time left is shared among this stage and the later ones by their epochs, so time that one stage does not
    need goes to the next. Following the clock rather than a speed measured once keeps the cosine true on a
    machine whose speed changes.
    """
    stage = stages[progress.stage]
    by_steps = progress.stage_steps / (stage.epochs * steps_in_epoch)
    if budget_s is None:
        return min(1.0, by_steps)
    share = stage.epochs / sum(each.epochs for each in stages[progress.stage :])
    available = max(1e-9, (budget_s - progress.stage_began_s) * share)
    return min(1.0, max(by_steps, (progress.elapsed_s - progress.stage_began_s) / available))


def learning_rate(stage: Stage, stage_steps: int, done: float) -> float:
    """Return AdamW's rate: linear warm-up, then a cosine from peak to final over `done` = 0..1."""
    warm = min(1.0, (stage_steps + 1) / stage.warmup_steps) if stage.warmup_steps else 1.0
    cosine = (1 + cos(pi * min(1.0, done))) / 2
    return warm * (stage.final_learning_rate + (stage.learning_rate - stage.final_learning_rate) * cosine)


def time_left_s(progress: Progress, done: float) -> float:
    """Return the seconds until the stage ends at the pace so far; infinite before the first step."""
    spent = progress.elapsed_s - progress.stage_began_s
    return spent * (1 - done) / done if done > 0 else inf
