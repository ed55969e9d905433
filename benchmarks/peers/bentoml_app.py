"""BentoML with its documented layout: one worker process, a file part as a path, a pydantic reply."""

from __future__ import annotations

from pathlib import Path

import bentoml

from benchmarks.peers.same_pipeline import answer, open_pipeline
from service.api.schemas import PredictReply


@bentoml.service(workers=1, traffic={"timeout": 300}, logging={"access": {"enabled": False}})
class Ages:
    """The pipeline in BentoML's worker."""

    def __init__(self) -> None:
        """Load the pipeline."""
        self.pipeline = open_pipeline()

    @bentoml.api
    def predict(self, file: Path) -> PredictReply:
        """Answer one photograph."""
        return answer(self.pipeline, file.read_bytes())
