"""`agelens score`: open the archive, score what is not in it yet, and check that nothing is missing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from service.errors import InvalidModelFile, InvalidParameter
from service.inference.age_mix import described, mixes_in, named_mix
from service.inference.distribution import Floats
from service.inference.manifest import Manifest
from service.inference.options import PredictOptions
from service.inference.pipeline import load_model
from service.printable import shown
from service.runtime.command_pipeline import open_command_pipeline
from service.scoring.archive import NAMED, Finished, agree, chunks, finished, limits_in, locked
from service.scoring.fit_prior import refuse_unfit, write_prior
from service.scoring.inputs import Inputs, open_inputs
from service.scoring.job import Chunk, EngineName, Format, Job, OpenPipeline, Tally
from service.scoring.local import score_locally
from service.scoring.parts import drop_failures, finished_parts
from service.scoring.progress import add_up
from service.scoring.ray import score_on_ray
from service.scoring.report.page import write_report
from service.scoring.tables import Columns
from service.settings import Settings, load_settings

Engine = Callable[[Job, Iterator[Chunk], int], Iterator[Tally]]
"""Scores chunks with so many workers, each with a pipeline of its own."""

ENGINES: Final[Mapping[EngineName, Engine]] = {
    "processes": score_locally,
    "threads": partial(score_locally, kind="threads"),
    "ray": score_on_ray,
}
SOME_NOT_SCORED: Final = 4
"""Exit status if some of INPUT could not be scored, such as a row without an id or a file that cannot be read."""
_FULL_CHUNK: Final = 256
_LEAST_CHUNK: Final = 8
_CHUNKS_PER_WORKER: Final = 8


@dataclass(frozen=True, slots=True)
class ScoreCommand:
    """The arguments of the command; `workers` defaults to the number of processors."""

    input: str
    output: Path
    format: Format = "parquet"
    engine: Engine = score_locally
    workers: int | None = None
    chunk_size: int | None = None
    options: PredictOptions = field(default_factory=PredictOptions)
    columns: Columns = field(default_factory=Columns)
    models_dir: Path | None = None
    pipeline: OpenPipeline = open_command_pipeline
    report: bool = False
    fit_prior: bool = False
    retry_failures: bool = False

    def run(self, console: Console | None = None) -> int:
        """Score, show and check; raise AgelensError.

        A picture that cannot be used is a row and leaves the status 0; what INPUT names but could not be scored for
        another reason is a row as well, and makes it `SOME_NOT_SCORED`, as too few faces for `fit_prior` do.
        """
        console = console or Console(stderr=True)
        settings = load_settings(models_dir=self.models_dir)
        workers = self.workers or settings.threads
        output = self.output.resolve()
        folder = settings.models_folder.resolve()
        asked = self.options.completed(settings)
        if self.fit_prior:
            refuse_unfit(asked, self.format)
        inputs = open_inputs(self.input, output, self.columns)
        with locked(output):
            options, facts, manifest = _model_facts(folder, asked, settings)
            stated = manifest.mix()
            if options.prior is not None:
                stated = named_mix(options.prior, mixes_in(settings.priors))
                facts["stated_for"] = hashlib.sha256(stated.tobytes()).hexdigest()
            # What travels to other machines says where the models are from any folder, and no secrets.
            told = settings.model_copy(update={"models_dir": folder, "api_keys": ()})
            job = Job(output, told, self.pipeline, options, self.format)
            with console.status("counting"):
                total = inputs.count()
            if inputs.results:
                earlier = _listed(sorted(inputs.results)[:NAMED], len(inputs.results))
                _say(console, f"left out, results of an earlier `agelens score`: {earlier}")
            chunk_size = self.chunk_size or _chunk_size(total, workers)
            terms = self._terms(job, facts)
            size = agree(output, terms, chunk_size, inputs.numbered, retries=self.retry_failures)
            if self.retry_failures:
                dropped = sum(drop_failures(part, self.format) for part in finished_parts(output, self.format))
                _say(console, f"tried again: {_counted(dropped, 'failure')}")
            archive = self._score(job, inputs, total, size, workers, console)
            if self.report:
                _say(console, f"report: {write_report(output, self.format, console)}")
            fitted = not self.fit_prior or self._fit(output, stated, console)
        return SOME_NOT_SCORED if archive.not_scored or not fitted else 0

    def _fit(self, output: Path, stated: Floats, console: Console) -> bool:
        """Write the archive's mix of ages; return whether there are enough faces for one. The rows are there anyway."""
        try:
            path, found = write_prior(output, self.format, stated)
        except InvalidParameter as few:
            _say(console, f"no mix of ages was written: {few}")
            return False
        _say(console, f"{described(found)}: {path}")
        return True

    def _score(self, job: Job, inputs: Inputs, total: int, size: int, workers: int, console: Console) -> Finished:
        """Score what is not in the archive yet, and return what is in it then."""
        before, began = finished(job.output, job.format), time.monotonic()
        already = len(before.ids)
        tallies = self.engine(job, chunks(inputs, before.ids, size, job.format), workers)
        totals = add_up(tallies, total, already, before.failures, console)
        after = finished(job.output, job.format)
        if len(after.ids) != len(before.ids):
            raise InvalidModelFile(f"photographs are missing in {job.output}; run the same command again")
        seconds = time.monotonic() - began
        console.print(_summary(totals, already, before.failures, seconds, self.report), highlight=False)
        for reason, photographs in sorted(after.not_scored.items()):
            _say(console, f"not scored, {reason}: {_listed(photographs.first, photographs.count)}")
        return after

    def _terms(self, job: Job, facts: dict[str, Any]) -> dict[str, Any]:
        where = self.input if "://" in self.input else str(Path(self.input).absolute())
        detector = job.settings.detector
        found_by = {} if detector == "onnxruntime" else {"detector": detector}
        options = job.options.model_dump(mode="json")
        read = {"input": where, "column": self.columns.picture, "id_column": self.columns.id}
        rest = {"options": options, "limits": limits_in(job.settings)}
        return {**read, "format": job.format, **facts, **found_by, **rest}


def _model_facts(
    folder: Path, options: PredictOptions, settings: Settings
) -> tuple[PredictOptions, dict[str, Any], Manifest]:
    """Load the model once, so that its errors show before any worker starts; return its version and sha256 as well."""
    wanted = options.model or settings.default_model
    model = load_model(folder, wanted, settings.models, providers=settings.providers)
    facts = {"version": model.manifest.version, "sha256": model.sha256}
    return options.model_copy(update={"model": model.manifest.name}), facts, model.manifest


def _chunk_size(total: int, workers: int) -> int:
    """Make chunks small enough that every worker gets some, and large enough that parts are few."""
    if total < 1:
        raise InvalidParameter("INPUT names no photographs; nothing can be scored")
    return max(_LEAST_CHUNK, min(_FULL_CHUNK, total // (workers * _CHUNKS_PER_WORKER)))


def _say(console: Console, text: str) -> None:
    """Print one line, however long, in which a name of a file is text and nothing more."""
    console.print(shown(text), highlight=False, markup=False, soft_wrap=True)


def _listed(first: Sequence[str], count: int) -> str:
    more = f" and {count - len(first):,} more" if count > len(first) else ""
    return f"{count:,}: " + ", ".join(f"'{name}'" for name in first) + more


def _summary(totals: Tally, before: int, failed_before: int, seconds: float, report: bool) -> str:
    text = (
        f"{_counted(totals['pictures'], 'photograph')} in {seconds:.1f} s "
        f"({totals['pictures'] / max(seconds, 1e-9):.1f}/s): {_counted(totals['faces'], 'face')}, "
        f"{totals['empty']:,} without a face, {_counted(totals['failures'], 'failure')}"
    )
    if before:
        text = f"{text}; {before:,} were there already"
    if failed_before:
        text = f"{text}, {_counted(failed_before, 'failure')} among them, not tried again without --retry-failures"
    if totals["failures"] or failed_before:
        text = f"{text} (status `error`{'' if report else '; --report lists them'})"
    return text


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
