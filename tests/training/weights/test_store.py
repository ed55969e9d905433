"""Weights that are put into networks, and folded batch norms that are undone."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import FileMissing, InvalidParameter
from training.model.backbones import build_backbone
from training.weights.folded import fold_batch_norm
from training.weights.merge import merge
from training.weights.store import is_folded, load_npz, save_npz, source_for, translate_dlib, unfold_batch_norm

SIZE = 32
FACES = np.random.default_rng(3).integers(0, 256, (10, SIZE, SIZE, 3), dtype=np.uint8)


def features(model: keras.Model, training: bool = False) -> NDArray[np.float32]:
    return np.asarray(model(FACES.astype(np.float32), training=training))


def small(shift: float = 0.3, variance: float = 1.0) -> keras.Model:
    """Two convolutions with batch norms whose statistics are folded away."""
    keras.utils.set_random_seed(1)
    faces = keras.Input((SIZE, SIZE, 3), name="faces")
    x = keras.layers.Conv2D(4, 3, name="first")(keras.layers.Rescaling(1 / 127.5, -1)(faces))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="first_bn")(x))
    x = keras.layers.BatchNormalization(name="second_bn")(keras.layers.Conv2D(5, 3, name="second")(x))
    model = keras.Model(faces, keras.layers.GlobalAveragePooling2D(name="features")(x), name="small")
    for name in ("first_bn", "second_bn"):
        norm = model.get_layer(name)
        norm.beta.assign(norm.beta + shift)
        norm.gamma.assign(norm.gamma * 1.7)
        norm.moving_variance.assign(norm.moving_variance * variance)
    return model


def test_unfolding_leaves_the_function_as_it_is() -> None:
    model = small()
    before = features(model)
    unfold_batch_norm(model, FACES, batch=4)
    assert before.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(features(model), before, atol=1e-4)


def test_after_unfolding_training_mode_sees_what_inference_sees() -> None:
    model = small()
    gap_before = np.abs(features(model) - features(model, training=True)).max()
    unfold_batch_norm(model, FACES)
    gap = np.abs(features(small_copy(model)) - features(model, training=True)).max()
    assert gap < 1e-3 < gap_before


def small_copy(model: keras.Model) -> keras.Model:
    """The same network: a step in training mode moves the running statistics."""
    copy = small()
    copy.set_weights(model.get_weights())
    return copy


def test_unfolding_takes_mean_and_variance_over_all_batches() -> None:
    one, many = small(), small()
    unfold_batch_norm(one, FACES, batch=10)
    unfold_batch_norm(many, FACES, batch=3)
    for left, right in zip(one.get_weights(), many.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_unfolding_twice_changes_nothing_more() -> None:
    model = small()
    unfold_batch_norm(model, FACES)
    once = model.get_weights()
    unfold_batch_norm(model, FACES)
    for left, right in zip(once, model.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-4)


def test_unfolding_needs_faces() -> None:
    with pytest.raises(ValueError, match="got none"):
        unfold_batch_norm(small(), FACES[:0])


def test_folded_statistics_are_recognised() -> None:
    assert is_folded(small(variance=0.999))
    assert not is_folded(small(variance=2.0))
    assert not is_folded(small(shift=0.0))


def test_saved_arrays_load_into_a_fresh_network(tmp_path: Path) -> None:
    model, fresh = small(), small(shift=0.0)
    save_npz(model, tmp_path / "small.npz")
    load_npz(fresh, tmp_path / "small.npz")
    np.testing.assert_array_equal(features(fresh), features(model))


def test_a_head_in_the_file_is_left_out(tmp_path: Path) -> None:
    save_npz(small(), tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz") as stored:
        np.savez(tmp_path / "whole.npz", **{**stored, "head_score/kernel": np.ones((5, 1))})
    fresh = small(shift=0.0)
    assert np.abs(features(fresh) - features(small())).max() > 1e-3
    load_npz(fresh, tmp_path / "whole.npz")
    np.testing.assert_array_equal(features(fresh), features(small()))
    assert "head_score" not in {layer.name for layer in fresh.layers}


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    save_npz(small(), tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz") as stored:
        np.savez(tmp_path / "less.npz", **{key: stored[key] for key in stored if key != "first/bias"})
    with pytest.raises(InvalidParameter, match=r"less\.npz does not fit small: it lacks first/bias"):
        load_npz(small(), tmp_path / "less.npz")


def test_an_array_of_another_shape_is_named(tmp_path: Path) -> None:
    save_npz(small(), tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz") as stored:
        np.savez(tmp_path / "odd.npz", **{**stored, "first/bias": np.zeros(7)})
    with pytest.raises(InvalidParameter, match=r"first/bias has shape \(7,\), it needs \(4,\)"):
        load_npz(small(), tmp_path / "odd.npz")


def first_map(model: keras.Model, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the first convolution gives: deeper, a random network tells nothing apart."""
    probe = keras.Model(model.input, model.get_layer("conv1").output)
    return np.asarray(probe(faces.astype(np.float32)))


def test_weights_trained_on_bgr_see_the_same_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The swapped kernel on RGB is the stored kernel on BGR."""
    stored = build_backbone("mobilenet", SIZE, preprocessing="imagenet-mean")
    save_npz(stored, tmp_path / "mobilenet_v1_vggface2.npz")
    monkeypatch.setenv("AGELENS_WEIGHTS_DIR", str(tmp_path))
    loaded = build_backbone("mobilenet", SIZE, "vggface2")
    stored.get_layer("preprocessing").offset = [-103.939, -116.779, -123.68]
    np.testing.assert_allclose(first_map(loaded, FACES), first_map(stored, FACES[..., ::-1]), atol=1e-3)
    assert np.abs(first_map(stored, FACES[..., ::-1]) - first_map(stored, FACES)).max() > 1


def test_weights_that_are_not_fetched_say_how_to_fetch_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGELENS_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(FileMissing, match="agelens-train weights vggface2"):
        build_backbone("mobilenet", SIZE, "vggface2")


def test_unknown_weights_are_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match="named ones: imagenet, vggface2"):
        source_for("mobilenet", "casia")


def test_dlibs_affine_and_bias_become_a_batch_norm() -> None:
    rng = np.random.default_rng(0)
    arrays = {f"conv32_down/{key}": rng.normal(size=4).astype(np.float32) for key in ("b", "weights", "biases")}
    layers = translate_dlib({"conv32_down/k": rng.normal(size=(1, 1, 3, 4)).astype(np.float32), **arrays})
    norm = keras.layers.BatchNormalization()
    x = rng.normal(size=(5, 4)).astype(np.float32)
    norm.build(x.shape)
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        getattr(norm, name).assign(layers[f"conv32_down_bn/{name}"])
    bias, slope, shift = (arrays[f"conv32_down/{key}"] for key in ("b", "weights", "biases"))
    np.testing.assert_allclose(norm(x, training=False), slope * (x + bias) + shift, atol=1e-5)


def trained(seed: int) -> keras.Model:
    """Two convolutions whose batch norms have seen something."""
    model = small(shift=0.1 * seed, variance=1 + seed)
    rng = np.random.default_rng(seed)
    for name in ("first_bn", "second_bn"):
        norm = model.get_layer(name)
        norm.moving_mean.assign(rng.normal(size=norm.moving_mean.shape))
    return model


def test_folding_leaves_the_function_as_it_is() -> None:
    model = trained(2)
    before = features(model)
    fold_batch_norm(model)
    np.testing.assert_allclose(features(model), before, rtol=1e-4, atol=1e-4)
    assert is_folded(model)


def test_a_merge_of_nothing_or_all_is_one_of_the_two() -> None:
    first, second = (features(trained(seed)) for seed in (1, 3))
    for share, expected in ((0.0, first), (1.0, second)):
        model = trained(1)
        merge(model, trained(3), share)
        np.testing.assert_allclose(features(model), expected, rtol=1e-4, atol=1e-4)
    assert np.abs(first - second).max() > 0.01


def test_a_merge_is_the_mean_of_what_each_convolution_adds_up_to() -> None:
    parts = [trained(1), trained(3)]
    for part in parts:
        fold_batch_norm(part)
    model = trained(1)
    merge(model, trained(3), 0.25)
    for mine, one, other in zip(model.get_weights(), *(part.get_weights() for part in parts), strict=True):
        np.testing.assert_allclose(mine, 0.75 * one + 0.25 * other, rtol=1e-5, atol=1e-6)


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.\.1, got 1\.5"):
        merge(small(), small(), 1.5)


def test_initial_weights_that_are_not_there_name_every_kind_there_is() -> None:
    with pytest.raises(InvalidParameter, match=r"named ones: .*vggface2.*an \.onnx file .*, the folder of a run, or"):
        source_for("mobilenet", "nonexist")
