"""A progress bar: how many photographs, how fast, how long still, how many failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from service.scoring.job import Tally


class RateColumn(ProgressColumn):
    """The recent number of photographs per second."""

    def render(self, task: Task) -> Text:
        """Show the rate, or nothing while it is not known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


def add_up(tallies: Iterable[Tally], total: int, before: int, failed_before: int, console: Console) -> Tally:
    """Sum `tallies`, with a bar on `console` while they come; `before` of `total` were there already, some failed."""
    columns = (
        TextColumn("scoring"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failures]} failures"),
    )
    totals: Tally = Counter()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("scoring", total=total, completed=before, failures=failed_before)
        for tally in tallies:
            totals.update(tally)
            progress.update(task, advance=tally["pictures"], failures=failed_before + totals["failures"])
    return totals
