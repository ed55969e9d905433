"""The package `agelens`: its names, and what the clients may cost those who import them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import agelens
from service.client import Client, ClientError


@pytest.mark.parametrize("name", agelens.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(agelens, name)


def test_names_are_those_of_the_service() -> None:
    assert agelens.Client is Client
    assert agelens.__version__ == version("agelens")
    assert set(agelens.__all__) == set(dir(agelens))


def test_everything_that_the_clients_raise_can_be_imported() -> None:
    kinds = {"ClientError", *(each.__name__ for each in ClientError.__subclasses__())}
    assert len(kinds) > 4
    assert kinds <= set(agelens.__all__)


def test_a_name_that_is_not_public_cannot_be_imported() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Detector'"):
        exec("from agelens import Detector")  # noqa: S102 - the statement is the test


@pytest.mark.parametrize("name", ["Client", "AsyncClient"])
def test_clients_need_neither_numpy_nor_a_runtime_nor_a_server(name: str) -> None:
    program = f"import sys\nfrom agelens import {name}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert {"httpx", "pydantic"} <= set(loaded)
    assert not {"numpy", "onnxruntime", "fastapi", "starlette", "PIL", "pyarrow", "cv2", "mediapipe"} & set(loaded)
