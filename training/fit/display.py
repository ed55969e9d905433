"""The progress bar, and one printed line for each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from training.fit.schedule import Progress as Place
from training.recipes.recipe import Stage

_EMPTY: Final[dict[str, Any]] = {"loss": float("nan"), "val_mae": "-", "left": "-"}


class Display:
    """A bar per epoch with loss, best val_mae and time left; one printed line per epoch."""

    def __init__(self) -> None:
        """Show on standard error."""
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("loss {task.fields[loss]:.3f}  val_mae {task.fields[val_mae]}  left {task.fields[left]}"),
            console=self.console,
        )
        self.task = self.bar.add_task("start", total=None, **_EMPTY)

    def __enter__(self) -> Self:
        """Start drawing."""
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self.bar.stop()

    def stage(self, stage: Stage, steps: int) -> None:
        """Begin a stage of so many steps an epoch."""
        self.bar.update(self.task, description=stage.name, total=steps, completed=0, **_EMPTY)

    def taught(self, done: int, total: int) -> None:
        """Move the bar while a teacher predicts the training faces."""
        self.bar.update(self.task, description="teacher", total=total, completed=done, **_EMPTY)

    def before(self, mae: float) -> None:
        """Print the error on `val` before the first step, in years."""
        self.console.print(f"before training  val_mae {mae:.3f}", highlight=False)

    def step(self, place: Place, loss: float, left_s: float) -> None:
        """Move the bar after a step."""
        self.bar.update(self.task, completed=place.step, loss=loss, val_mae=_years(place.best_mae), left=_clock(left_s))

    def validated(self, place: Place, mae: float, measured: Mapping[str, float]) -> None:
        """Print the epoch's line."""
        sources = "  ".join(f"{name} {value:.3f}" for name, value in measured.items())
        self.console.print(
            f"epoch {place.epoch + 1}  step {place.total_steps}  {_clock(place.elapsed_s)}  val_mae {mae:.3f}"
            f"  (best before {_years(place.best_mae)})  {sources}",
            highlight=False,
        )


def _years(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "-"


def _clock(seconds: float) -> str:
    if not isfinite(seconds):
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
