"""The shipped age models have the names that the service reads, and others that say where in the network they are."""

import re
from collections import Counter

import onnx
import pytest
from onnx import ModelProto, TensorProto

from service.inference.lockfile import ModelLock, default_models_dir
from service.inference.manifest import INPUT_NAME, OUTPUT_NAME

MODELS = default_models_dir()
SHIPPED = [entry.file for entry in ModelLock.read(MODELS).of_kind("model")]

SCOPE = re.compile(r"^(ConstantFolding/)?(member\d+_)?(coral|dldl|mean_variance)_functional_1_1/")
"""What files of before this was mended call the whole network: its head's name, and Keras's for a functional model."""

CHANCE = re.compile(r"functional|StatefulPartitionedCall|model_\d|;", re.IGNORECASE)
"""Names that Keras and TensorFlow count up, and those of several nodes that were joined with a semicolon."""


def wrong_names(model: ModelProto) -> list[str]:
    """Return the names of nodes and tensors that say nothing of the layer, without the network's own in front."""
    graph = model.graph
    names = {name for node in graph.node for name in (node.name, *node.input, *node.output)}
    names |= {value.name for value in (*graph.initializer, *graph.value_info, *graph.input, *graph.output)}
    return sorted(name for name in names if CHANCE.search(SCOPE.sub("", name)))


def wrong_nodes(model: ModelProto) -> list[str]:
    """Return the names that are empty or that several nodes have."""
    return [name for name, count in Counter(node.name for node in model.graph.node).items() if count > 1 or not name]


@pytest.fixture(scope="module", params=SHIPPED)
def model(request: pytest.FixtureRequest) -> ModelProto:
    return onnx.load(MODELS / request.param)


def test_faces_go_in_and_ages_come_out(model: ModelProto) -> None:
    ends = [(each.name, each.type.tensor_type.elem_type) for each in (*model.graph.input, *model.graph.output)]
    assert (INPUT_NAME, OUTPUT_NAME) == ("faces", "age_pmf")
    assert ends == [("faces", TensorProto.UINT8), ("age_pmf", TensorProto.FLOAT)]


def test_no_name_behind_the_networks_own_was_made_up_by_keras_or_tensorflow(model: ModelProto) -> None:
    assert wrong_names(model) == []


def test_every_node_has_a_name_of_its_own(model: ModelProto) -> None:
    assert wrong_nodes(model) == []


@pytest.mark.parametrize("place", ["node", "initializer"])
@pytest.mark.parametrize(
    "name",
    [
        "StatefulPartitionedCall/conv1/Conv",
        "functional_1_1/conv1/Conv",
        "dldl_functional_1_1/functional_2/conv1/Conv",
        "dldl_functional_1_2/conv1/Conv",
        "model_3/conv1/Conv",
        "conv1/Conv;conv1/Add",
    ],
)
def test_a_made_up_name_is_seen(place: str, name: str) -> None:
    model = onnx.load(MODELS / SHIPPED[0])
    getattr(model.graph, place)[0].name = name
    assert wrong_names(model) == [name]


@pytest.mark.parametrize("name", ["", "Cast"])
def test_a_node_without_a_name_of_its_own_is_seen(name: str) -> None:
    model = onnx.load(MODELS / SHIPPED[0])
    model.graph.node[0].name = model.graph.node[1].name = name
    assert wrong_nodes(model) == [name]
