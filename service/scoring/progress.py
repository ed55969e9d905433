"""A bar for long scoring: how many, how fast, how long still, how many failures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from service.scoring.job import Tally


@dataclass(slots=True)
class Totals:
    """Sums of tallies."""

    pictures: int = 0
    faces: int = 0
    empty: int = 0
    failures: int = 0

    def add(self, tally: Tally) -> None:
        """Add one."""
        self.pictures += tally["pictures"]
        self.faces += tally["faces"]
        self.empty += tally["empty"]
        self.failures += tally["failures"]


class RateColumn(ProgressColumn):
    """Photographs a second, lately."""

    def render(self, task: Task) -> Text:
        """Show the rate, or nothing while it is not known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


def add_up(tallies: Iterable[Tally], total: int, before: int, console: Console) -> Totals:
    """Sum `tallies`, with a bar on `console` while they come; `before` of `total` were there already."""
    columns = (
        TextColumn("scoring"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failures]} failures"),
    )
    totals = Totals()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("scoring", total=total, completed=before, failures=0)
        for tally in tallies:
            totals.add(tally)
            progress.update(task, advance=tally["pictures"], failures=totals.failures)
    return totals
