"""A plain FastAPI `def` endpoint, as its tutorial has it: uvicorn[standard], the threadpool, a response model.

One token in the threadpool: on one processor more threads only take turns, and each would need a detector.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, File

from benchmarks.peers.same_pipeline import answer, open_pipeline
from service.api.schemas import PredictReply


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = 1
    app.state.pipeline = open_pipeline()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(file: Annotated[bytes, File()]) -> PredictReply:
    """Answer one photograph."""
    return answer(app.state.pipeline, file)


@app.get("/health")
def health() -> str:
    """Say that models are loaded: the lifespan ended before."""
    return "ok"


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False)
