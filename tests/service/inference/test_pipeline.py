"""Bytes in, predictions out, through the real detector and the real runtime."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from pydantic import ValidationError

from service.errors import ChecksumMismatch, DeadlineExceeded, InvalidModelFile, InvalidParameter, UnknownModel
from service.inference import onnx_session
from service.inference.age_mix import mix_of
from service.inference.detection.detector import BlazeFaceDetector, Detection
from service.inference.detection.search_work import MOST_WORK
from service.inference.estimator import Estimator
from service.inference.faces import Pixels
from service.inference.imaging import Pyramid
from service.inference.lockfile import ModelLock, default_models_dir
from service.inference.onnx_session import PLUGINS, open_session, ort
from service.inference.options import PredictOptions
from service.inference.pipeline import Pipeline, load_models, open_pipeline
from tests.pictures import HEAD, astronaut, coffee, jpeg, pasted
from tests.service.doubles import MiddleFace
from tests.tiny_model import SIZE, brightness_manifest, lock_entry, write_brightness_model, write_models_folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models_folder(tmp_path_factory.mktemp("models"), "brightness", "other")


@pytest.fixture(scope="module")
def pipeline(models: Path) -> Pipeline:
    detector = BlazeFaceDetector(default_models_dir())
    return Pipeline(detector, load_models(models, ["brightness", "other"]), "brightness")


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def grey(level: int, side: int = 100) -> bytes:
    return png(np.full((side, side, 3), level, np.uint8))


@pytest.mark.parametrize(("level", "age"), [(51, 20), (102, 40), (204, 80)])
def test_the_brightness_model_reads_brightness(pipeline: Pipeline, level: int, age: int) -> None:
    prediction = pipeline.predict(grey(level), PredictOptions(detect=False))
    assert prediction.faces[0].age == pytest.approx(age, abs=0.01)


def test_a_prior_restates_what_is_said_of_a_face(tmp_path: Path) -> None:
    mix = np.full(101, 1e-4)
    mix[20:22] = 0.7, 0.29
    own = tuple((mix / mix.sum()).tolist())
    write_brightness_model(tmp_path / "m.onnx", brightness_manifest().model_copy(update={"age_mix": own}))
    ModelLock(files=(lock_entry(tmp_path / "m.onnx"),)).write(tmp_path)
    twice = np.ones(101)
    twice[21] = 3
    pipeline = open_pipeline(tmp_path, detect=False, mixes={"elder": mix_of(twice)})
    plain, elder, young = (
        pipeline.predict(grey(52), PredictOptions(detect=False, prior=prior)).faces[0].distribution.pmf
        for prior in (None, "elder", "0-20")
    )
    assert plain[20:22] == pytest.approx([1 - 52 * 100 / 255 + 20, 52 * 100 / 255 - 20], abs=1e-4)
    assert elder[21] / elder[20] == pytest.approx(3 * plain[21] / plain[20] * 0.7 / 0.29, rel=1e-3)
    assert young[:21].sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("prior", "warned"), [(None, False), ("uniform", False), ("15-30", False), ("30-60", True), ("elders", True)]
)
def test_a_prior_that_excludes_the_person_is_warned_of(tmp_path: Path, prior: str | None, warned: bool) -> None:
    pipeline = open_pipeline(
        write_models_folder(tmp_path, "brightness"),
        detect=False,
        mixes={"elders": mix_of(np.where(np.arange(101) > 60, 1.0, 0.0))},
    )
    (face,) = pipeline.predict(grey(51), PredictOptions(detect=False, prior=prior)).faces
    assert ("outside_prior" in face.warnings) is warned


def test_a_prior_that_nobody_knows_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(InvalidParameter, match="uniform, a range"):
        pipeline.predict(grey(52), PredictOptions(detect=False, prior="young"))


def test_a_portrait_is_answered_in_its_own_pixels(pipeline: Pipeline) -> None:
    prediction = pipeline.predict(jpeg(astronaut()))
    (face,) = prediction.faces
    assert (prediction.width, prediction.height) == (512, 512)
    assert 190 < face.face.box.center[0] < 260
    assert set(prediction.timings_ms) == {"decode", "detect", "crop", "estimate", "total"}


def test_a_reduced_decode_answers_in_the_photograph_s_pixels(pipeline: Pipeline) -> None:
    large = np.asarray(Image.fromarray(astronaut()).resize((3072, 3072), Image.Resampling.BICUBIC))
    (small_face,) = pipeline.predict(jpeg(astronaut())).faces
    prediction = pipeline.predict(jpeg(large))
    (face,) = prediction.faces
    assert (prediction.width, prediction.height) == (3072, 3072)
    assert face.face.box.width / 6 == pytest.approx(small_face.face.box.width, rel=0.03)
    assert face.age == pytest.approx(small_face.age, abs=0.5)


def test_a_small_face_in_a_large_photograph_is_cut_from_the_full_decode(pipeline: Pipeline) -> None:
    scene = np.asarray(Image.fromarray(coffee()).resize((3000, 2000), Image.Resampling.BICUBIC))
    (face,) = pipeline.predict(jpeg(pasted(300, 1500, 900, scene))).faces
    assert 1500 < face.face.box.center[0] < 1800
    (alone,) = pipeline.predict(jpeg(astronaut())).faces
    assert face.age == pytest.approx(alone.age, abs=1.5)


def test_a_small_face_in_a_photograph_over_the_limit_is_cut_as_finely_as_the_limit_allows(pipeline: Pipeline) -> None:
    scene = np.asarray(Image.fromarray(coffee()).resize((3000, 2000), Image.Resampling.BICUBIC))
    picture = jpeg(pasted(300, 1500, 900, scene))
    prediction = pipeline.predict(picture, max_pixels=1500 * 1000)
    (face,) = prediction.faces
    assert (prediction.width, prediction.height) == (3000, 2000)
    assert 1500 < face.face.box.center[0] < 1800
    assert face.age == pytest.approx(pipeline.predict(picture).faces[0].age, abs=1.5)


def test_a_model_that_declares_it_sees_its_crop_stretched(pipeline: Pipeline, tmp_path: Path) -> None:
    manifest = brightness_manifest()
    crop = manifest.crop.model_copy(update={"exposure": "stretched"})
    write_brightness_model(tmp_path / "model.onnx", manifest.model_copy(update={"crop": crop}))
    stretching = Pipeline(MiddleFace(), {"it": Estimator(tmp_path / "model.onnx", "unchecked")}, "it")
    dark = np.repeat(np.linspace(20, 40, SIZE, dtype=np.uint8)[None, :, None], SIZE, axis=0).repeat(3, axis=2)
    ages = [each.predict(png(dark), PredictOptions(detect=False)).faces[0].age for each in (pipeline, stretching)]
    assert ages[0] == pytest.approx(12, abs=1)
    assert ages[1] == pytest.approx(50, abs=3)


def test_poor_light_is_warned_of(pipeline: Pipeline) -> None:
    good, dark = (pipeline.predict(jpeg(picture)).faces[0].warnings for picture in (astronaut(), astronaut() // 4))
    assert "exposure" not in good
    assert "exposure" in dark


def test_faces_come_largest_first_and_no_more_than_asked(pipeline: Pipeline) -> None:
    scene = pasted(200, 20, 30, pasted(80, 400, 60))
    both = pipeline.predict(jpeg(scene)).faces
    assert [face.face.box.width for face in both] == sorted((f.face.box.width for f in both), reverse=True)
    assert len(both) == 2
    assert len(pipeline.predict(jpeg(scene), PredictOptions(max_faces=1)).faces) == 1
    assert len(pipeline.predict(jpeg(scene), PredictOptions(min_face_size=60)).faces) == 1


def test_faces_left_out_for_their_number_are_said(pipeline: Pipeline) -> None:
    scene = jpeg(pasted(200, 20, 30, pasted(80, 400, 60)))
    assert not pipeline.predict(scene).more_faces
    assert not pipeline.predict(scene, PredictOptions(max_faces=2)).more_faces
    assert pipeline.predict(scene, PredictOptions(max_faces=1)).more_faces
    assert not pipeline.predict(scene, PredictOptions(max_faces=1, min_face_size=60)).more_faces


def test_faces_as_small_as_asked_for_are_found_in_a_photograph_that_is_decoded_small(pipeline: Pipeline) -> None:
    scene = np.full((3000, 4000, 3), 128, np.uint8)
    scene[1500:1548, 2000:2048] = np.asarray(Image.fromarray(astronaut()[HEAD]).resize((48, 48), Image.Resampling.BOX))
    assert pipeline.predict(jpeg(scene)).faces == ()
    asked = pipeline.predict(jpeg(scene), PredictOptions(min_face_size=20))
    (face,) = asked.faces
    assert face.face.box.center == pytest.approx((2024, 1524), abs=10)
    assert asked.warnings == ()


def test_a_photograph_too_large_to_be_searched_is_said(models: Path) -> None:
    few = BlazeFaceDetector(default_models_dir(), max_views=2)
    pipeline = Pipeline(few, load_models(models, ["brightness"]), "brightness")
    long = jpeg(np.full((400, 6000, 3), 128, np.uint8))
    assert pipeline.predict(long).warnings == ("views_capped",)
    assert pipeline.predict(long, PredictOptions(detect=False)).warnings == ()
    assert pipeline.predict(jpeg(astronaut())).warnings == ()


class WorkCounting(MiddleFace):
    """Keeps the work that each search may be."""

    def __init__(self) -> None:
        super().__init__()
        self.works: list[float] = []

    def detect(self, picture: Pyramid, min_size: float | None = None, work: float = MOST_WORK) -> Detection:
        self.works.append(work)
        return super().detect(picture, min_size, work)


def test_a_photograph_that_costs_more_to_decode_is_searched_with_less_work(models: Path) -> None:
    detector = WorkCounting()
    pipeline = Pipeline(detector, load_models(models, ["brightness"]), "brightness")
    large = jpeg(np.full((3000, 4000, 3), 128, np.uint8))
    pipeline.predict(grey(128))
    pipeline.predict(large)
    pipeline.predict(large, PredictOptions(min_face_size=12))
    small, once, twice = detector.works
    assert MOST_WORK > small > once > twice, "the last is decoded again, for smaller faces"


def test_no_face_is_an_answer(pipeline: Pipeline) -> None:
    assert pipeline.predict(jpeg(coffee())).faces == ()


def test_a_pipeline_opened_without_a_detector_is_for_faces_already_cut_out(models: Path) -> None:
    with open_pipeline(models, detect=False) as opened:
        assert opened.predict(jpeg(astronaut())).faces == ()
        assert opened.predict(grey(51), PredictOptions(detect=False)).faces[0].age == pytest.approx(20, abs=0.01)


def test_leaving_a_pipeline_closes_its_detector(models: Path) -> None:
    class Closing(MiddleFace):
        closed = False

        def close(self) -> None:
            self.closed = True

    detector = Closing()
    with Pipeline(detector, load_models(models), "brightness"):
        assert not detector.closed
    assert detector.closed


def test_the_named_model_answers(pipeline: Pipeline) -> None:
    prediction = pipeline.predict(jpeg(astronaut()), PredictOptions(model="other"))
    assert prediction.model.name == "other"


def test_an_unknown_model_names_those_there_are(pipeline: Pipeline) -> None:
    with pytest.raises(UnknownModel, match="brightness, other"):
        pipeline.predict(jpeg(astronaut()), PredictOptions(model="gone"))


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_checkpoint_stops_between_stages(pipeline: Pipeline, stages: int) -> None:
    passed = []

    def stop() -> None:
        passed.append(1)
        if len(passed) == stages:
            raise DeadlineExceeded("time is over")

    with pytest.raises(DeadlineExceeded):
        pipeline.predict(jpeg(coffee()), checkpoint=stop)
    assert len(passed) == stages


@pytest.mark.parametrize(
    "wrong",
    [{"interval": 0.3}, {"interval": 1.0}, {"thresholds": (0,)}, {"thresholds": (101,)}, {"max_faces": 0},
     {"thresholds": tuple(range(1, 22))}, {"min_face_size": 11.9}],
)  # fmt: skip
def test_absurd_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PredictOptions(**wrong)


def test_faces_are_estimated_alike_alone_and_together(models: Path) -> None:
    estimator = load_models(models)["brightness"]
    faces = np.random.default_rng(0).integers(0, 256, (11, SIZE, SIZE, 3), dtype=np.uint8)
    together = estimator.estimate(faces)
    alone = np.concatenate([estimator.estimate(face[None]) for face in faces])
    assert together.shape == (11, 101)
    assert np.ptp(together @ np.arange(101)) > 0.1
    assert np.array_equal(together, alone)


def test_no_faces_give_no_rows(models: Path) -> None:
    assert load_models(models)["brightness"].estimate(np.empty((0, SIZE, SIZE, 3), np.uint8)).shape == (0, 101)


def test_only_defaults_are_loaded_unless_named(models: Path) -> None:
    assert list(load_models(models)) == ["brightness"]
    assert list(load_models(models, ["other"])) == ["other"]


def test_a_name_that_is_not_locked_is_refused(models: Path) -> None:
    with pytest.raises(UnknownModel, match="gone"):
        load_models(models, ["gone"])


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    write_models_folder(tmp_path)
    file = next(tmp_path.glob("*.onnx"))
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(ChecksumMismatch, match=r"brightness.*sha256"):
        load_models(tmp_path)


def test_models_of_different_crops_are_not_loaded_together(tmp_path: Path) -> None:
    write_models_folder(tmp_path, "brightness")
    manifest = brightness_manifest("wide")
    wide = manifest.model_copy(update={"crop": manifest.crop.model_copy(update={"margin": 0.4})})
    write_brightness_model(tmp_path / "wide.onnx", wide)
    files = (*ModelLock.read(tmp_path).files, lock_entry(tmp_path / "wide.onnx"))
    ModelLock(files=files).write(tmp_path)
    with pytest.raises(InvalidModelFile, match="different crops"):
        load_models(tmp_path)


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"not onnx")
    with pytest.raises(InvalidModelFile, match=r"no\.onnx"):
        Estimator(tmp_path / "no.onnx", "")


def test_an_unknown_provider_names_the_setting(tmp_path: Path) -> None:
    write_brightness_model(tmp_path / "toy.onnx")
    with pytest.raises(InvalidModelFile, match="AGELENS_PROVIDERS"):
        Estimator(tmp_path / "toy.onnx", "", providers=("NoSuchProvider",))


def test_a_plugin_without_a_processor_of_its_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLUGINS, "NobodysExecutionProvider", "no_such_package")
    write_brightness_model(tmp_path / "toy.onnx")
    said = "NobodysExecutionProvider, which is not installed or knows no processor"
    with pytest.raises(InvalidModelFile, match=said):
        Estimator(tmp_path / "toy.onnx", "", providers=("NobodysExecutionProvider", "CPUExecutionProvider"))


def test_a_plugins_device_gives_the_same_ages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_brightness_model(tmp_path / "toy.onnx")
    faces = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    plain = Estimator(tmp_path / "toy.onnx", "").estimate(faces)
    own = [device for device in ort.get_ep_devices() if device.ep_name == "CPUExecutionProvider"]
    monkeypatch.setitem(PLUGINS, "NobodysExecutionProvider", "")
    monkeypatch.setattr(onnx_session, "_devices", lambda _: own)  # OpenVINO's are Intel's only
    plugged = Estimator(tmp_path / "toy.onnx", "", providers=("NobodysExecutionProvider",))
    assert (plugged.estimate(faces) == plain).all()


def test_a_plugin_is_told_what_openvino_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_brightness_model(tmp_path / "toy.onnx")
    own = [device for device in ort.get_ep_devices() if device.ep_name == "CPUExecutionProvider"]
    monkeypatch.setattr(onnx_session, "_devices", lambda _: own)
    options = ort.SessionOptions()
    open_session(tmp_path / "toy.onnx", options, ["OpenVINOExecutionProvider"])
    told = json.loads(options.get_session_config_entry("ep.cpuexecutionprovider.load_config"))
    assert told["CPU"] == told["GPU"] == {"INFERENCE_PRECISION_HINT": "f32"}


def test_a_model_whose_tensors_differ_is_refused(tmp_path: Path) -> None:
    manifest = brightness_manifest()
    write_brightness_model(tmp_path / "toy.onnx", manifest)
    model = onnx.load(tmp_path / "toy.onnx")
    lying = manifest.model_copy(update={"crop": manifest.crop.model_copy(update={"size": 48})})
    onnx.helper.set_model_props(model, {"agelens": lying.model_dump_json()})
    (tmp_path / "toy.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidModelFile, match="48"):
        Estimator(tmp_path / "toy.onnx", "")
