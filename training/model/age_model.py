"""A backbone with a head: the model that is trained, and the graph that is served."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from service.errors import InvalidParameter
from service.inference.manifest import INPUT_NAME, OUTPUT_NAME
from training.model.heads import AgeHead
from training.weights.store import HEAD_PREFIX

Tensor = Any


class AgeModel(keras.Model):
    """Maps RGB faces in 0..255, float [b, size, size, 3], to a head's logits [b, units]; one flat functional graph."""

    def __init__(self, backbone: keras.Model, head: AgeHead) -> None:
        """Put a head's layers behind a backbone, whose layers are shared, not copied."""
        super().__init__(backbone.input, head.logits(backbone.output), name=f"{head.name}_{backbone.name}")
        self.head = head

    @property
    def size(self) -> int:
        """Pixels a side of the faces it takes."""
        return int(self.input.shape[1])

    @property
    def backbone(self) -> keras.Model:
        """The same layers up to the features; freezing it freezes them here."""
        return keras.Model(self.input, self.get_layer("features").output)

    def layers_before(self, name: str) -> list[keras.layers.Layer]:
        """Return the layers of the backbone before the one of that name; raise InvalidParameter where there is none."""
        layers = self.backbone.layers
        names = [layer.name for layer in layers]
        if name not in names:
            raise InvalidParameter(
                f"{self.name} has no layer {name!r} for a stage to learn from: trainable is all, head or one "
                f"of {', '.join(names)}"
            )
        return list(layers[: names.index(name)])

    @property
    def head_variables(self) -> list[Any]:
        """The trainable variables of the head's layers."""
        layers = [layer for layer in self.layers if layer.name.startswith(HEAD_PREFIX)]
        return [variable for layer in layers for variable in layer.trainable_variables]

    @property
    def backbone_variables(self) -> list[Any]:
        """The trainable variables of all other layers."""
        head = {id(variable) for variable in self.head_variables}
        return [variable for variable in self.trainable_variables if id(variable) not in head]


class AgePmf(keras.layers.Layer):
    """Logits to a distribution over ages."""

    def __init__(self, head: AgeHead, **options: Any) -> None:
        """Keep the head."""
        super().__init__(dtype="float32", **options)
        self.head = head

    def call(self, logits: Tensor) -> Tensor:
        """Probabilities [b, 101] from logits [b, units]."""
        return self.head.pmf(logits)


def servable(model: AgeModel) -> keras.Model:
    """Build the graph that is served: `faces` uint8 [b, size, size, 3] RGB to `age_pmf` float32 [b, 101]."""
    faces = keras.Input((model.size, model.size, 3), dtype="uint8", name=INPUT_NAME)
    pmf = AgePmf(model.head, name="pmf")(model(ops.cast(faces, "float32"), training=False))
    return keras.Model(faces, keras.layers.Identity(name=OUTPUT_NAME, dtype="float32")(pmf))


def with_mirror_image(served: keras.Model) -> keras.Model:
    """Build the graph that averages the distributions of a face and its mirror image, at twice the cost."""
    faces = keras.Input(served.input.shape[1:], dtype="uint8", name=INPUT_NAME)
    pmf = served(ops.concatenate([faces, faces[:, :, ::-1, :]], axis=0))
    mean = ops.mean(ops.reshape(pmf, (2, -1, pmf.shape[-1])), axis=0)
    return keras.Model(faces, keras.layers.Identity(name=OUTPUT_NAME, dtype="float32")(mean))
