"""What a run tells the outside while it trains: metrics, the configuration, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from service.types import Pixels
from training.config import Recipe


class Tracker:
    """Where metrics and pictures go; this one forgets them. Steps count over the whole run."""

    def begin(self, recipe: Recipe, step: int) -> None:
        """Note the configuration of a run that starts, or goes on, at `step`."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Note numbers at a step."""

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Note a picture, uint8 [h, w, 3], at a step."""

    def close(self) -> None:
        """Write out what is held back."""


class Trackers(Tracker):
    """Several trackers as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        """Pass everything on to each."""
        self.trackers = tuple(trackers)

    def begin(self, recipe: Recipe, step: int) -> None:
        """Pass on."""
        for tracker in self.trackers:
            tracker.begin(recipe, step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Pass on."""
        for tracker in self.trackers:
            tracker.scalars(step, values)

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Pass on."""
        for tracker in self.trackers:
            tracker.image(step, name, pixels)

    def close(self) -> None:
        """Pass on."""
        for tracker in self.trackers:
            tracker.close()


class CsvTracker(Tracker):
    """Epoch figures as lines `step,name,value` in a file that any program reads."""

    def __init__(self, path: Path) -> None:
        """Append to `path`."""
        self.path = path

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line for each value."""
        new = not self.path.exists()
        with self.path.open("a") as stream:
            if new:
                stream.write("step,name,value\n")
            stream.writelines(f"{step},{name},{value:.6g}\n" for name, value in values.items())
