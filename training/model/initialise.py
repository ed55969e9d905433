"""Build a recipe's network: backbone, pretrained weights, a head initialised from the labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from service.errors import FileMissing, InvalidParameter
from training.data.store import FaceSet, train_batches
from training.model import imdb_wiki
from training.model.age_model import AgeModel
from training.model.backbones import build_backbone
from training.model.from_onnx import ExportedFile, file_named
from training.model.heads import AgeHead, head_named
from training.recipes.recipe import Recipe
from training.run_folder import BEST, RUN_FILE, refuse_run_in, replace_file
from training.weights.merge import merge
from training.weights.shortcuts import fit_shortcuts
from training.weights.store import HEAD_PREFIX, SOURCES, is_folded, source_for, unfold_batch_norm

SOME_FACES = 512
"""Faces that batch norms are un-folded on; they fix a mean to some per cent. Shortcuts are fitted on as many."""

PLAIN, RESIDUAL = "mobilenet", "separable_resnet"
"""The backbone that the other can be made from."""


def new_model(recipe: Recipe, faces: FaceSet) -> AgeModel:
    """Build the recipe's network; biases and task weights come from the labels of `faces`, the training set.

    `recipe.weights` may also be the folder of an earlier run or an exported file, whose network (of its head what fits)
    is then taken over, at whatever size its faces were: features are means over a map.
    """
    model = _begun(recipe, faces)
    if recipe.first_layers is not None:
        _take_first_layers(model, recipe, Path(recipe.first_layers))
    return model


def _begun(recipe: Recipe, faces: FaceSet) -> AgeModel:
    """Build the network with the recipe's initial weights in all layers."""
    head = head_named(recipe.head, faces.low, faces.high, **recipe.head_options)
    exported = _exported(recipe)
    if recipe.weights is not None and Path(recipe.weights).is_dir():
        return _continued(Path(recipe.weights), recipe, head)
    if exported:
        _say_other_size(recipe, exported.shrunk_to)
    backbone = _backbone(recipe, exported, recipe.backbone)
    lacks_shortcuts = recipe.backbone == RESIDUAL and _lacks_shortcuts(recipe, exported)
    unfolds = recipe.batch_norm_momentum < 1 and recipe.weights is not None
    if lacks_shortcuts or (unfolds and is_folded(backbone)):
        some = some_faces(recipe, faces)
        if lacks_shortcuts:
            fit_shortcuts(_backbone(recipe, exported, PLAIN), backbone, some)
        if unfolds:
            unfold_batch_norm(backbone, some)
    model = AgeModel(backbone, head)
    lacking = exported.load_head(model) if exported else []
    if imdb_wiki.WEIGHTS in (recipe.weights, recipe.merged_with) and recipe.head_options.get("imdb_wiki"):
        imdb_wiki.load_ages_head(model)
        lacking = [name for name in lacking if name not in imdb_wiki.LAYERS.values()]
    if lacking:
        _warn(f"{recipe.weights} has no weights for {', '.join(lacking)}: these layers of the head start untrained")
    return model


def trained_model(run_dir: Path, onward: Recipe | None = None) -> tuple[AgeModel, Recipe]:
    """Build the network of a run with its best weights; raise FileMissing naming what is not there.

    `onward` is a recipe that it is to be trained on with: what that says of the faces' size, the momentum of batch
    norms and the precision counts, not what the run said.
    """
    for file in ("recipe.json", BEST):
        if not (run_dir / file).is_file():
            raise FileMissing(f"{run_dir} has no {file}; name a folder that `agelens-train train` has filled")
    recipe = Recipe.from_json((run_dir / "recipe.json").read_text())
    now = onward or recipe
    with _precision(now.mixed_precision and onward is not None):
        backbone = build_backbone(
            recipe.backbone,
            now.size,
            preprocessing=preprocessing_of(recipe),
            momentum=now.batch_norm_momentum,
            shrunk_to=now.shrunk_to,
        )
    model = AgeModel(backbone, head_named(recipe.head, **recipe.head_options))
    model.load_weights(run_dir / BEST)
    return model, recipe


def _backbone(recipe: Recipe, exported: ExportedFile | None, name: str) -> keras.Model:
    with _precision(recipe.mixed_precision):
        backbone = build_backbone(
            name,
            recipe.size,
            None if exported else recipe.weights,
            preprocessing=preprocessing_of(recipe) if exported else recipe.preprocessing,
            momentum=recipe.batch_norm_momentum,
            shrunk_to=recipe.shrunk_to,
        )
    if exported:
        exported.load_backbone(backbone)
    if recipe.merged_with:
        if exported and exported.has_shortcuts:
            raise InvalidParameter(
                f"{recipe.weights} has shortcuts and {recipe.merged_with} has none: their weights cannot be averaged"
            )
        merge(backbone, build_backbone(name, recipe.size, recipe.merged_with), recipe.merged_share)
    return backbone


def _lacks_shortcuts(recipe: Recipe, exported: ExportedFile | None) -> bool:
    """Tell whether the initial weights are a MobileNet's, as published ones are; one's own .npz is taken as it is."""
    if exported:
        return not exported.has_shortcuts
    if recipe.weights is None:
        return False
    source = source_for(recipe.backbone, recipe.weights)
    published = {each.file for each in SOURCES if each.backbone == PLAIN}
    return source.file is not None and Path(source.file).name in published


@contextmanager
def _precision(mixed: bool) -> Iterator[None]:
    """Build layers that compute in bfloat16 and keep their variables in float32, where `mixed`."""
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def with_other_head(model: AgeModel, head: str, **options: Any) -> tuple[AgeModel, list[str]]:
    """Put another family's head behind a trained network, with the weights of its layers that were trained beside.

    Returns the network and the names of layers that were not.
    """
    other = AgeModel(model.backbone, head_named(head, dropout=0.0, **options))
    learnt = {layer.name: layer.get_weights() for layer in model.layers if layer.name.startswith(HEAD_PREFIX)}
    lacking = []
    for layer in (each for each in other.layers if each.name.startswith(HEAD_PREFIX) and each.weights):
        if layer.name in learnt:
            layer.set_weights(learnt[layer.name])
        else:
            lacking.append(layer.name)
    return other, lacking


def merged_run(run_dir: Path, other_dir: Path, share: float, out: Path) -> None:
    """Average the weights of two runs that were fine-tuned from the same start, and save them as a run in `out`.

    `share` 0..1 is the other's. Layers that only the first has stay as they are. Raises FileMissing where a run is not
    whole, ValueError where the networks differ, InvalidParameter where `out` holds a run.
    """
    refuse_run_in(out)
    (model, recipe), (other, others) = trained_model(run_dir), trained_model(other_dir)
    if recipe.backbone != others.backbone:
        raise ValueError(f"{run_dir} trained {recipe.backbone}, {other_dir} trained {others.backbone}")
    if recipe.shrunk_to != others.shrunk_to:
        raise ValueError(
            f"the network of {run_dir} shrinks faces to {recipe.shrunk_to} pixels, that of {other_dir} to "
            f"{others.shrunk_to} (None: not at all); weights for one do not average with those for the other"
        )
    merge(model, other, share)
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / BEST, keras.Model(model.inputs, model.outputs).save_weights)
    files = [folder / RUN_FILE for folder in (run_dir, other_dir)]
    stores = [store for file in files if file.is_file() for store in json.loads(file.read_text())["stores"]]
    about = {"stores": list(dict.fromkeys(stores)), "max_minutes": None, "wandb": False}
    (out / RUN_FILE).write_text(json.dumps(about, indent=2) + "\n")
    replace(recipe, weights=str(run_dir), merged_with=str(other_dir), merged_share=share, first_layers=None).save(out)


def preprocessing_of(recipe: Recipe) -> str | None:
    """Return what the recipe's network expects of its input: its own word, its weights', a file's or a run's."""
    if recipe.preprocessing or recipe.weights is None:
        return recipe.preprocessing
    exported = _exported(recipe)
    if exported:
        return exported.preprocessing
    if Path(recipe.weights).is_dir():
        return preprocessing_of(Recipe.from_json((Path(recipe.weights) / "recipe.json").read_text()))
    return source_for(recipe.backbone, recipe.weights).preprocessing


def some_faces(recipe: Recipe, faces: FaceSet) -> NDArray[np.uint8]:
    """Return augmented training faces uint8 [≥ 512, size, size, 3]: what statistics will follow from the first step."""
    batches = train_batches(
        faces, recipe.size, recipe.batch_size, recipe.augmentation, recipe.sampling, recipe.seed, epoch=0
    )
    count = -(-SOME_FACES // recipe.batch_size)
    return np.concatenate([batch.faces for _, batch in zip(range(count), batches, strict=False)])


def _say_other_size(recipe: Recipe, before: int | None) -> None:
    """Warn where the network of the initial weights shrank its faces to another size than this one will."""
    if recipe.shrunk_to != before:
        was, now = ("not at all" if side is None else f"to {side} pixels" for side in (before, recipe.shrunk_to))
        _warn(
            f"{recipe.weights} shrank its faces {was}, {recipe.name} shrinks them {now}; "
            f"--set shrunk_to={before or 'null'} keeps to the former"
        )


def _warn(told: str) -> None:
    Console(stderr=True).print(f"warning: {told}", style="yellow", highlight=False)


def _exported(recipe: Recipe) -> ExportedFile | None:
    return ExportedFile.open(str(recipe.weights)) if file_named(recipe.weights) else None


def _take_first_layers(model: AgeModel, recipe: Recipe, run_dir: Path) -> None:
    """Give the layers before the one that the recipe's stages name the weights that they have in an earlier run."""
    try:
        earlier, before = trained_model(run_dir)
    except FileMissing as error:
        raise FileMissing(f"{error}: recipe {recipe.name} begins with its layers; --set first_layers=RUN") from error
    theirs, own = (
        (each.backbone, preprocessing_of(each) or "symmetric", each.shrunk_to or each.size) for each in (before, recipe)
    )
    if theirs != own:
        told = "{} of faces scaled as {}, at {} pixels".format
        raise InvalidParameter(
            f"recipe {recipe.name} cannot begin with the first layers of {run_dir}: that is a {told(*theirs)}, "
            f"this one a {told(*own)}"
        )
    until = recipe.stages[0].trainable
    for layer, same in zip(model.layers_before(until), earlier.layers_before(until), strict=True):
        layer.set_weights(same.get_weights())


def _continued(run_dir: Path, recipe: Recipe, head: AgeHead) -> AgeModel:
    earlier, before = trained_model(run_dir, recipe)
    if before.backbone != recipe.backbone:
        raise ValueError(f"{run_dir} trained {before.backbone}, this recipe wants {recipe.backbone}")
    _say_other_size(recipe, before.shrunk_to)
    model = AgeModel(earlier.backbone, head)
    learnt = {layer.name: layer.get_weights() for layer in earlier.layers if layer.name.startswith(HEAD_PREFIX)}
    for layer in model.layers:
        values = learnt.get(layer.name, [])
        if [value.shape for value in values] == [tuple(variable.shape) for variable in layer.weights]:
            layer.set_weights(values)
    return model
