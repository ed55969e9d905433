"""LitServe with its documented layout for a CPU: one worker a device, no batching since the pipeline batches faces."""

import sys
from typing import Any

import litserve as ls
from fastapi import Request

from benchmarks.peers.same_pipeline import answer, open_pipeline


class Ages(ls.LitAPI):
    """The pipeline in LitServe's worker process."""

    def setup(self, device: str) -> None:
        """Load the pipeline."""
        del device
        self.pipeline = open_pipeline()

    def decode_request(self, request: Request) -> bytes:
        """Take the picture's bytes from the form, which LitServe has read by the annotation's word."""
        form: Any = request
        data: bytes = form["file"].file.read()
        return data

    def predict(self, picture: bytes) -> dict[str, Any]:
        """Answer one photograph."""
        return answer(self.pipeline, picture).model_dump(mode="json")

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the reply as it is."""
        return output


if __name__ == "__main__":
    server = ls.LitServer(Ages(), accelerator="cpu", devices=1, workers_per_device=1, timeout=False)
    server.run(port=int(sys.argv[1]), num_api_servers=1, log_level="warning", generate_client_file=False)
