"""The card says what the network is."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

from service.inference.lockfile import default_models_dir
from tests.training.export.bell_model import bell_model
from training.export.card import MOBILENET, RESIDUAL, network_of


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("coral-mobilenet-int8", MOBILENET),
        ("mean-variance-resnet", RESIDUAL),
        ("mean-variance-resnet-int8", RESIDUAL),
        ("ensemble-int8", f"{MOBILENET} + {MOBILENET} + the last 6 blocks of another, on the first 7 of one of these"),
    ],
)
def test_the_network_is_named_by_the_layers_of_the_file(name: str, network: str) -> None:
    assert network_of(onnx.load(default_models_dir() / f"{name}.onnx")) == network


def test_members_of_an_ensemble_in_an_ensemble_are_told_apart_and_another_network_has_no_name() -> None:
    model = bell_model()
    assert network_of(model) is None
    for member, layer in (("member0_member0_", "x"), ("member0_member1_", "shortcut_3/Add"), ("member1_", "y")):
        blocks = [f"{member}net/conv_dw_{number}/Conv" for number in range(1, 14)]
        for name in (*blocks, f"{member}net/{layer}"):
            model.graph.node.append(helper.make_node("Identity", ["faces"], [name], name=name))
    assert network_of(model) == f"{MOBILENET} + {RESIDUAL} + {MOBILENET}"
