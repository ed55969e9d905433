"""What a teacher says of every face, once, and how it is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.inference.age_mix import mix_of, stated_for
from tests.training.export.bell_model import bell_manifest, write_bell_model
from tests.training.tiny_run import AGES, FACES, SIZE, Memory, corner, tiny_network, tiny_recipe
from training.data.augment import NO_AUGMENTATION
from training.data.store import Batch, FaceSet, FaceStore, mixed
from training.export.graph import embed
from training.fit.learner import Learner, distributions
from training.fit.train import _learner, select, train
from training.measures.calibration import age_mix
from training.model.age_model import AgeModel
from training.model.backbones import build_backbone
from training.model.heads import head_named
from training.model.initialise import trained_model
from training.recipes.recipe import Stage
from training.teaching.distillation import as_drawn, as_one, drawn_shares, lessons, trust
from training.teaching.teacher import Faces, Targets, Teacher, teacher_named


@pytest.fixture
def train_faces(store_path: Path) -> FaceSet:
    return FaceStore.open(store_path).select("train")


@pytest.fixture
def network() -> AgeModel:
    return tiny_network()


def test_a_teacher_sees_each_clean_face_and_its_mirror_image(train_faces: FaceSet, tmp_path: Path) -> None:
    told = lessons(Teacher(corner, 2, 0), train_faces, SIZE, tmp_path / "lessons.npy")
    clean = train_faces.faces(np.arange(70), SIZE)
    assert told == pytest.approx((corner(clean) + corner(clean[:, :, ::-1])) / 2)
    assert not np.allclose(told, corner(clean))


def test_features_are_standardised_over_the_set(train_faces: FaceSet, tmp_path: Path) -> None:
    told = lessons(Teacher(corner, 0, 2), train_faces, SIZE, tmp_path / "lessons.npy")
    assert told.mean(axis=0) == pytest.approx(np.zeros(2), abs=1e-4)
    assert told.std(axis=0) == pytest.approx(np.ones(2), abs=1e-3)


def test_lessons_are_kept_and_not_asked_for_again(train_faces: FaceSet, tmp_path: Path) -> None:
    def silent(faces: Faces) -> Targets:
        raise AssertionError("asked again")

    first = lessons(Teacher(corner, 0, 2), train_faces, SIZE, tmp_path / "lessons.npy")
    again = lessons(Teacher(silent, 0, 2), train_faces, SIZE, tmp_path / "lessons.npy")
    assert (again == first).all()


def test_lessons_of_another_set_are_refused(train_faces: FaceSet, tmp_path: Path) -> None:
    lessons(Teacher(corner, 0, 2), train_faces.limited(30), SIZE, tmp_path / "lessons.npy")
    with pytest.raises(InvalidParameter, match=r"\(30, 2\), this run needs \(70, 2\)"):
        lessons(Teacher(corner, 0, 2), train_faces, SIZE, tmp_path / "lessons.npy")


def test_a_run_asks_once_for_stages_on_the_same_faces(store_path: Path, tmp_path: Path) -> None:
    teacher = write_bell_model(tmp_path, size=SIZE)
    stage = tiny_recipe(epochs=1).stages[0]
    recipe = tiny_recipe(stages=(stage, stage), teacher=str(teacher))
    train(recipe, [FaceStore.open(store_path)], tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").glob("lessons.*")] == ["lessons.0.npy"]


def test_a_new_run_does_not_take_the_lessons_of_the_one_before(store_path: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=1, teacher=str(write_bell_model(tmp_path, size=SIZE)))
    (tmp_path / "lessons.0.npy").write_bytes(b"old")
    train(recipe, [FaceStore.open(store_path)], tmp_path)
    assert np.load(tmp_path / "lessons.0.npy").shape == (70, 101)


def lessons_given(
    network: AgeModel, teacher: Teacher, told: Targets | None, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> NDArray[np.float32]:
    """Take one step on a batch and return what it was labelled with beyond age and ramp."""
    recipe = tiny_recipe(teacher="-")
    learner = Learner(network, recipe, teacher)
    learner.begin(recipe.stages[0], told)
    given: list[NDArray[np.float32]] = []

    def note(_: Faces, labels: NDArray[np.float32]) -> float:
        given.append(labels)
        return 0.0

    monkeypatch.setattr(learner.trained, "train_on_batch", note)
    learner.learn(batch, 1e-3, 0.5)
    return given[0][:, 3:]


def test_a_face_is_given_the_lesson_of_its_own_place(network: AgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    told = np.arange(40, dtype=np.float32)[:, None]
    batch = Batch(FACES[:3], AGES[:3], AGES[:3], np.array([7, 3, 7]))
    given = lessons_given(network, Teacher(corner, 0, 1), told, batch, monkeypatch)
    assert given.tolist() == [[7], [3], [7]]


def test_without_lessons_a_teacher_is_asked_about_the_batch(network: AgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(FACES[5:8], AGES[:3], AGES[:3], np.arange(3))
    given = lessons_given(network, Teacher(corner, 2, 0), None, batch, monkeypatch)
    assert given == pytest.approx(corner(FACES[5:8]))


def test_a_teacher_of_framed_faces_does_not_see_how_they_were_worn(
    network: AgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(FACES[5:8], AGES[:3], AGES[:3], np.arange(3), framed=FACES[:3])
    given = lessons_given(network, Teacher(corner, 2, 0), None, batch, monkeypatch)
    assert given == pytest.approx(corner(FACES[:3]))


def test_a_run_asks_about_faces_as_its_recipe_says(store_path: Path, tmp_path: Path) -> None:
    teacher, losses = write_bell_model(tmp_path, size=SIZE), {}
    for sees in ("batches", "framed"):
        memory = Memory()
        recipe = tiny_recipe(
            epochs=1, teacher=str(teacher), teacher_sees=sees, teacher_weight=1.0,
            augmentation=replace(NO_AUGMENTATION, brightness=0.3),
        )  # fmt: skip
        train(recipe, [FaceStore.open(store_path)], tmp_path / sees, tracker=memory)
        losses[sees] = memory.values["loss"]
    assert losses["framed"][0] != pytest.approx(losses["batches"][0], rel=1e-3)


def test_what_a_teacher_says_of_a_blend_holds_for_both_faces(
    network: AgeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = mixed(Batch(FACES[:8], AGES[:8], AGES[:8], np.arange(8)), 0.3, (1,))
    given = lessons_given(network, Teacher(corner, 2, 0), None, batch, monkeypatch)
    of_blends = corner(batch.faces)
    assert given[:, :2] == pytest.approx(of_blends)
    assert given[:, -3:-1] == pytest.approx(of_blends)
    assert not np.allclose(of_blends, corner(FACES[:8]))


def test_a_teacher_of_batches_leaves_no_lessons_behind(store_path: Path, tmp_path: Path) -> None:
    teacher = write_bell_model(tmp_path, size=SIZE)
    train(
        tiny_recipe(epochs=1, teacher=str(teacher), teacher_sees="batches"),
        [FaceStore.open(store_path)],
        tmp_path / "run",
    )
    assert not list((tmp_path / "run").glob("lessons.*"))


def test_the_second_teacher_is_trusted_where_no_age_is_known_and_a_little_with_the_young() -> None:
    told = np.concatenate([np.eye(101)[[40] * 3], np.eye(101)[[20] * 3]], axis=1).astype(np.float32)
    taught = as_one(told, trust(low=np.array([25, 12, 40]), high=np.array([70, 12, 40])), 101)
    assert taught[:, 20] == pytest.approx([0.5, 0.15, 0])
    assert taught.sum(axis=1) == pytest.approx([1, 1, 1])


def test_a_head_that_keeps_one_distribution_is_taught_what_both_teachers_say(
    store_path: Path, tmp_path: Path, train_faces: FaceSet
) -> None:
    paths = [str(write_bell_model(tmp_path / name, size=SIZE, sigma=sigma)) for name, sigma in (("a", 2), ("b", 9))]
    both = teacher_named("+".join(paths), SIZE)
    every = lessons(both, train_faces, SIZE, tmp_path / "lessons.npy")
    one = lessons(both, train_faces, SIZE, tmp_path / "lessons.npy", ages=101)
    np.testing.assert_array_equal(one, every[:, :101])
    result = train(
        tiny_recipe(epochs=1, teacher="+".join(paths)), [FaceStore.open(store_path)], tmp_path / "mean-variance"
    )
    assert result.steps > 0


def test_a_teacher_of_faces_as_they_come_is_read_as_of_faces_as_they_are_drawn() -> None:
    ages = np.repeat([10, 50], [100, 10_000])
    shares = drawn_shares(ages, ages, "sqrt_inverse")
    assert shares[10] / shares[50] == pytest.approx(10, rel=0.05)
    told = np.concatenate([np.eye(101)[[10]] / 2 + np.eye(101)[[50]] / 2, np.ones((1, 3))], axis=1).astype(np.float32)
    drawn = as_drawn(told, shares)
    assert drawn[0, 10] == pytest.approx(10 / 11, abs=0.01)
    assert drawn[0, :101].sum() == pytest.approx(1)
    assert drawn[0, 101:].tolist() == [1, 1, 1]
    np.testing.assert_array_equal(as_drawn(told, drawn_shares(ages, ages, "uniform")), told)


def test_a_run_that_learnt_from_faces_drawn_alike_is_taken_as_it_is(store_path: Path, tmp_path: Path) -> None:
    ages = np.repeat([10, 50], [100, 10_000])
    alike = drawn_shares(ages, ages, "sqrt_inverse", learnt_under="sqrt_inverse")
    assert alike == pytest.approx(np.ones(101))
    back = drawn_shares(ages, ages, "uniform", learnt_under="sqrt_inverse")
    assert back[50] / back[10] == pytest.approx(10, rel=0.05)
    train(tiny_recipe(epochs=1, sampling="sqrt_inverse"), [FaceStore.open(store_path)], tmp_path / "run")
    assert teacher_named(str(tmp_path / "run"), SIZE).learnt_under == "sqrt_inverse"


def test_a_face_of_0_or_1_years_is_drawn_as_one_of_0() -> None:
    ages = np.repeat([0, 50], [10, 1000])
    infants = np.where(ages == 0, 1, 50)
    expected = drawn_shares(ages, ages, "sqrt_inverse")
    np.testing.assert_array_equal(drawn_shares(ages, infants, "sqrt_inverse"), expected)


def test_a_teacher_that_says_its_mix_of_ages_is_read_by_that_one(tmp_path: Path) -> None:
    ages = np.repeat(np.arange(10, 60), np.r_[np.full(25, 40), np.full(25, 400)])
    own, young = age_mix(ages, ages), mix_of(np.where(np.arange(101) < 30, 5.0, 1.0))
    told = stated_for(np.random.default_rng(0).dirichlet(np.ones(101), 4), np.full(101, 1 / 101), own).astype(
        np.float32
    )
    told[:, [*range(10), *range(60, 101)]] = 0  # nobody there
    for sampling in ("uniform", "sqrt_inverse"):
        plain = as_drawn(told, drawn_shares(ages, ages, sampling))
        restated = stated_for(told, own, young).astype(np.float32)
        assert as_drawn(restated, drawn_shares(ages, ages, sampling, young)) == pytest.approx(plain, rel=0.05, abs=5e-4)
        assert np.abs(as_drawn(restated, drawn_shares(ages, ages, sampling)) - plain).max() > 0.005
    path = write_bell_model(tmp_path, size=SIZE)
    model = onnx.load(path)
    embed(model, bell_manifest(size=SIZE).model_copy(update={"age_mix": tuple(map(float, young))}))
    onnx.save(model, path)
    for name in (str(path), f"{path}+{path}"):
        assert teacher_named(name, SIZE).mix == pytest.approx(young)


def test_a_run_reads_its_teacher_by_the_mix_of_ages_that_it_says(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bell_model(tmp_path, size=SIZE)
    model = onnx.load(path)
    young = mix_of(np.where(np.arange(101) < 30, 5.0, 1.0))
    embed(model, bell_manifest(size=SIZE).model_copy(update={"age_mix": tuple(map(float, young))}))
    onnx.save(model, path)
    began: list[NDArray[np.float32] | None] = []
    begin = Learner.begin

    def remembering(
        self: Learner, stage: Stage, told: Targets | None, shares: NDArray[np.float32] | None, place: int
    ) -> None:
        began.append(shares)
        begin(self, stage, told, shares, place)

    monkeypatch.setattr(Learner, "begin", remembering)
    store = FaceStore.open(store_path)
    train(tiny_recipe(epochs=1, head="mean_variance", teacher=str(path)), [store], tmp_path / "run")
    faces = store.select("train")
    (shares,) = began
    assert shares == pytest.approx(drawn_shares(faces.low, faces.high, tiny_recipe().sampling, young))
    assert shares != pytest.approx(drawn_shares(faces.low, faces.high, tiny_recipe().sampling))


def test_two_teachers_are_asked_about_the_batch_and_both_are_kept_by_a_head_that_has_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def both(faces: Faces) -> Targets:
        return np.concatenate([np.eye(101)[[40] * len(faces)], np.eye(101)[[20] * len(faces)]], axis=1, dtype="float32")

    batch = Batch(FACES[:2], np.array([25, 12]), np.array([70, 12]), np.arange(2), framed=FACES[2:4])
    blended = batch._replace(partners=np.array([1, 0]), shares=np.array([0.7, 0.6], np.float32))
    for options, ages in (({}, 101), ({"imdb_wiki": True}, 202)):
        head = head_named("dldl", AGES, AGES, **options)
        network = AgeModel(build_backbone(tiny_recipe().backbone, SIZE), head)
        given = lessons_given(network, Teacher(both, 202, 0, once=True), None, batch, monkeypatch)
        assert given.shape == (2, ages)
        assert given[:, 20] == pytest.approx([0.5, 0.15])
        assert (given[:, 101:] == both(FACES[:2])[:, 101:ages]).all()
        own = lessons_given(network, Teacher(both, 202, 0, once=True), None, blended, monkeypatch)[:, :ages]
        shares = blended.shares
        assert shares is not None
        other = np.array([0.5, 0.15])[blended.partners]
        assert own[:, 20] == pytest.approx(shares * [0.5, 0.15] + (1 - shares) * other)


def test_a_run_asks_two_teachers_about_framed_faces(store_path: Path, tmp_path: Path) -> None:
    teacher = str(write_bell_model(tmp_path, size=SIZE))
    recipe = tiny_recipe(epochs=1, teacher=f"{teacher}+{teacher}", teacher_sees="framed")
    assert train(recipe, [FaceStore.open(store_path)], tmp_path / "run").steps > 0
    assert not list((tmp_path / "run").glob("lessons.*"))


def test_features_cannot_be_taught_by_batches(store_path: Path, tmp_path: Path) -> None:
    stores = [FaceStore.open(store_path)]
    train(tiny_recipe(epochs=1), stores, tmp_path / "first")
    recipe = tiny_recipe(epochs=1, teacher=str(tmp_path / "first"), teacher_sees="batches")
    with pytest.raises(InvalidParameter, match="only distributions can be taught batch by batch"):
        train(recipe, stores, tmp_path / "second")


def test_a_run_may_teach_its_distribution_by_batches_without_its_features(store_path: Path, tmp_path: Path) -> None:
    stores = [FaceStore.open(store_path)]
    train(tiny_recipe(epochs=1), stores, tmp_path / "first")
    first = teacher_named(str(tmp_path / "first"), SIZE)
    told = first.run(FACES[:2])
    assert told.shape[1] > 101
    assert (first.of_ages_alone().run(FACES[:2]) == told[:, :101]).all()
    recipe = tiny_recipe(epochs=1, teacher=str(tmp_path / "first"), teacher_sees="framed", imitation_weight=0.0)
    assert train(recipe, stores, tmp_path / "second").steps > 0


def test_a_network_may_be_taught_by_itself_as_it_began(store_path: Path, tmp_path: Path) -> None:
    stores = [FaceStore.open(store_path)]
    train(tiny_recipe(epochs=1), stores, tmp_path / "first")
    itself = {"teacher": "itself", "teacher_sees": "framed", "teacher_weight": 1.0, "imitation_weight": 0.0}
    recipe = tiny_recipe(epochs=1, weights=str(tmp_path / "first"), batch_norm_momentum=1.0, **itself)
    by_labels = replace(recipe, teacher_weight=0.0)
    learner = _learner(by_labels, select(recipe, stores, "train"))
    assert learner.teacher
    before = learner.teacher.run(FACES)[:, :101]
    assert before == pytest.approx(learner.predict(FACES), abs=1e-6)
    learner.begin(recipe.stages[0])
    for _ in range(8):
        learner.learn(Batch(FACES[:8], AGES[:8], AGES[:8], np.arange(8), framed=FACES[:8]), 1e-2, 1.0)
    moved = np.abs(learner.predict(FACES) - before).max()
    assert (learner.teacher.run(FACES)[:, :101] == before).all()
    # Where nothing is changed there is nothing to learn but the rounding of the last digits.
    train(recipe, stores, tmp_path / "second")
    after, _ = trained_model(tmp_path / "second")
    assert np.abs(distributions(after, FACES) - before).max() < moved / 10


def test_a_run_with_two_heads_teaches_each_by_its_own_answers(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [FaceStore.open(store_path)]
    both = {"head": "dldl", "head_options": {"imdb_wiki": True}}
    teacher = str(write_bell_model(tmp_path, size=SIZE))
    train(tiny_recipe(epochs=1, teacher=f"{teacher}+{teacher}", **both), stores, tmp_path / "first")
    first = teacher_named(str(tmp_path / "first"), SIZE).of_ages_alone()
    told = first.run(FACES[:2])
    assert (told.shape, first.is_one) == ((2, 202), True)
    assert told[:, :101].sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert told[:, 101:].sum(axis=1) == pytest.approx(1, abs=1e-4)
    minor = Batch(FACES[:2], np.array([5, 5]), np.array([5, 5]), np.arange(2))
    recipe = tiny_recipe(epochs=1, teacher=str(tmp_path / "first"), teacher_sees="framed", imitation_weight=0.0, **both)
    network, _ = trained_model(tmp_path / "first")
    given = lessons_given(network, first, None, minor, monkeypatch)
    assert given == pytest.approx(told, abs=1e-6)  # where two networks teach, the second is asked about minors too
    assert train(recipe, stores, tmp_path / "second").steps > 0
    clean = replace(recipe, teacher_sees="clean", imitation_weight=1.0)
    assert train(clean, stores, tmp_path / "third").steps > 0
