"""The guide to training on one's own faces, followed word for word on pictures whose colour tells the age.

Brightness would not do: a face's exposure is stretched before a network sees it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.random import Generator

from service.inference.faces import Pixels
from service.inference.lockfile import default_models_dir
from tests.docs.reading import Block, blocks
from tests.pictures import jpeg, pasted

WIDTH, HEIGHT = 360, 300


def scene(rng: Generator) -> Pixels:
    """A background unlike any other, so that no picture counts as another's duplicate."""
    coarse = rng.integers(0, 255, (7, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def write_faces(folder: Path, count: int = 110) -> None:
    """One portrait in many places and sizes, redder with age, in folders named for the age."""
    rng = np.random.default_rng(0)
    for number in range(count):
        age, side = int(rng.integers(5, 86)), int(rng.integers(150, 250))
        x, y = int(rng.integers(0, WIDTH - side)), int(rng.integers(0, HEIGHT - side))
        picture = pasted(side, x, y, scene(rng)) * (0.4 + 0.6 * age / 85, 0.8, 1 - 0.6 * age / 85)
        path = folder / str(age) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(picture.astype(np.uint8)))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    write_faces(folder / "faces")
    # A copy: the guide exports into it.
    shutil.copytree(default_models_dir(), folder / "models")
    return folder


def run(block: Block, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_the_guide_leads_from_pictures_to_a_measured_model(checkout: Path) -> None:
    followed = blocks("training", "docs/training.md")
    assert len(followed) == 7
    for block in followed:
        run(block, checkout)
    assert "MAE" in (checkout / "own-models" / "own.md").read_text()
    assert (checkout / "rehearsal" / "smoke.onnx").is_file()
