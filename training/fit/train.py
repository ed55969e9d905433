"""Train a recipe stage by stage, with checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Final

import cv2
import keras

from service.errors import InvalidParameter
from training.data.store import FaceSet, FaceStore
from training.errors import CheckpointCorrupt, NothingToTrain
from training.fit.checkpoint import Checkpoint, Variables
from training.fit.display import Display
from training.fit.learner import Learner
from training.fit.schedule import Progress
from training.fit.stage import StageRun
from training.fit.together import Together
from training.fit.weight_average import assign, read
from training.measures.validation import LEAST_SPREAD, Scores, score
from training.model.initialise import new_model
from training.recipes.recipe import Recipe, Stage
from training.run_folder import BEST, UNBLENDED, replace_file
from training.teaching.agreement import Agreement, keeps_imdb_wiki
from training.teaching.distillation import drawn_shares, lessons
from training.teaching.teacher import ITSELF, Targets, Teacher, frozen, teacher_named
from training.tracking.trackers import Tracker

ENOUGH: Final = 100
"""Faces of `val` below which a small difference of errors may be chance."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Result of a run: lowest val_mae of the last stage and spread of its ages, in years; its epoch; all steps.

    `start_mae` is the error on the same `val_faces` before training, infinite if the run did not begin with weights.
    """

    val_mae: float
    spread: float
    epoch: int
    steps: int
    run_dir: Path
    val_faces: int
    start_mae: float = inf
    each: tuple[tuple[str, float], ...] = ()
    """Of recipes trained together, name and error of each; `val_mae` is then the mean's, `spread` the least one's."""

    @property
    def warning(self) -> str | None:
        """What is wrong with the trained network, and what to do: nearly one age for all faces, or no lower error."""
        if self.spread < LEAST_SPREAD:
            return self._one_age()
        return self._no_better() if self.val_mae >= self.start_mae else None

    def _no_better(self) -> str:
        chance = f" (with {self.val_faces} faces, it may be chance)" if self.val_faces < ENOUGH else ""
        return (
            f"training has not lowered the error on val: {self.start_mae:.3f} years before, {self.val_mae:.3f} after"
            f"{chance}. Keep the network that you started from, or train again with more faces or a lower rate, "
            "for instance --set stage.learning_rate=3e-5"
        )

    def _one_age(self) -> str:
        return (
            f"the network gives nearly the same age to every face of val (± {self.spread:.2f} years): it has learned "
            "nothing from them, and `export` will refuse it. Start from a trained network, as with "
            "--weights models/coral-mobilenet.onnx, train longer, or add faces"
        )


def train(
    recipe: Recipe,
    stores: Sequence[FaceStore],
    run_dir: Path,
    resume: bool = False,
    *,
    max_minutes: float | None = None,
    tracker: Tracker | None = None,
    beside: Sequence[Recipe] = (),
) -> TrainResult:
    """Run a recipe; leave `best.weights.h5` (averaged weights), `recipe.json` and a checkpoint in `run_dir`.

    Recipes `beside` it are trained at the same time on the same batches, by the first one's stages, augmentation and
    sampling, each taught by what all say (`training.fit.together`); their weights and recipes go to `run_dir`/NAME.
    With `max_minutes` the schedule of each stage is fitted to its share of that time, without that of a teacher.
    With `resume` the run continues from its last checkpoint. Raises TrainingError; the last checkpoint and the best
    weights stay intact. Raises InvalidParameter if a store was cropped for another size or otherwise than the first.
    """
    for each in (recipe, *beside):
        _refuse_other_crops(each, stores)
    # The augmentation's thread must not spread over the cores that the training step needs.
    cv2.setNumThreads(1)
    keras.utils.set_random_seed(recipe.seed)
    saved = _checkpoint(recipe, run_dir) if resume else None
    run_dir.mkdir(parents=True, exist_ok=True)
    recipe.save(run_dir)
    for other in beside:
        (run_dir / other.name).mkdir(exist_ok=True)
        other.save(run_dir / other.name)
    if not resume:
        for old in (*run_dir.glob("lessons.*.npy"), *run_dir.glob(UNBLENDED)):
            old.unlink()
    faces = select(recipe, stores, "train")
    learner = _learner(recipe, faces)
    if beside:
        learner = Together(learner, [_learner(other, faces, learner.teacher) for other in beside])
    start = read(learner.network.weights)
    progress = saved.progress if saved else Progress()
    tracker = tracker or Tracker()
    tracker.begin(recipe, progress.total_steps)
    budget_s = None if max_minutes is None else 60 * max_minutes
    with Display() as display, closing(tracker):
        if not resume and recipe.weights:
            judged = select(recipe, stores, "val", recipe.stages[-1].sources)
            progress = replace(progress, start_mae=_error_before(learner, judged, tracker, display))
        for place, stage in enumerate(recipe.stages[progress.stage :], progress.stage):
            train_faces, val_faces = (select(recipe, stores, split, stage.sources) for split in ("train", "val"))
            teacher, ages = learner.teacher, (train_faces.low, train_faces.high)
            expects = (teacher.mix, teacher.learnt_under) if teacher else ()
            shares = drawn_shares(*ages, recipe.sampling, *expects)
            learner.begin(stage, _lessons(learner, stage, train_faces, run_dir, display), shares, place)
            if saved is not None:
                _restore(learner, saved, run_dir)
                saved = None
            agreement = _agreement(recipe, stage, val_faces, run_dir, display)
            run = StageRun(
                recipe, learner, train_faces, val_faces, progress, run_dir, budget_s, tracker, display, agreement
            )
            finished = run.run()
            learner.load_best(run_dir)
            progress = finished.next_stage()
    mae, spread = finished.best_mae, finished.best_spread
    if recipe.start_share:
        scores = _blended(learner, start, val_faces, run_dir)
        mae, spread = scores.mae, scores.spread
    result = TrainResult(
        mae, spread, finished.best_epoch, finished.total_steps, run_dir, len(val_faces), finished.start_mae
    )
    return _apart(result, learner, val_faces) if isinstance(learner, Together) else result


def _apart(result: TrainResult, together: Together, val_faces: FaceSet) -> TrainResult:
    """Add how each of several networks does by itself."""
    scored = dict(together.each(val_faces))
    return replace(
        result,
        each=tuple((name, scores.mae) for name, scores in scored.items()),
        spread=min(scores.spread for scores in scored.values()),
    )


def _error_before(learner: Learner, faces: FaceSet, tracker: Tracker, display: Display) -> float:
    """Return the error of the initial weights on `val`, in years: what training has to beat."""
    mae = score(learner.predict, faces, learner.recipe.size, learner.recipe.batch_size).mae
    tracker.scalars(0, {"val_mae": mae})
    display.before(mae)
    return mae


def _blended(learner: Learner, start: Variables, val_faces: FaceSet, run_dir: Path) -> Scores:
    """Average the best weights with the initial ones by the recipe's `start_share`, keep both; score them."""
    recipe = learner.recipe
    if (run_dir / UNBLENDED).exists():
        learner.load_weights(run_dir / UNBLENDED)
    else:
        replace_file(run_dir / UNBLENDED, learner.save_weights)
    ends = read(learner.network.weights)
    share = recipe.start_share
    assign(learner.network.weights, [share * one + (1 - share) * other for one, other in zip(start, ends, strict=True)])
    replace_file(run_dir / BEST, learner.save_weights)
    return score(learner.predict, val_faces, recipe.size, recipe.batch_size)


def select(recipe: Recipe, stores: Sequence[FaceStore], split: str, sources: tuple[str, ...] = ()) -> FaceSet:
    """Return a split's faces from the named sources (none named: all); raise NothingToTrain where there are none."""
    faces = FaceSet.joined([store.select(split) for store in stores if not sources or store.source in sources])
    if not len(faces):
        given = ", ".join(store.source for store in stores) or "none"
        wanted = ", ".join(sources) or "any store"
        raise NothingToTrain(
            f"split {split!r} of {wanted} holds no faces; the stores given are: {given}. Give faces the split {split} "
            "(of your own: in the column split of labels.csv), run `agelens-train prepare` again, or name another store"
        )
    return faces if recipe.faces_per_set is None else faces.limited(recipe.faces_per_set)


def _learner(recipe: Recipe, faces: FaceSet, teacher: Teacher | None = None) -> Learner:
    """Build a recipe's network, at its seed, and its learner; a teacher that is open already serves."""
    keras.utils.set_random_seed(recipe.seed)
    network = new_model(recipe, faces)
    if teacher is None and recipe.teacher == ITSELF:
        begun = new_model(recipe, faces)
        begun.set_weights(network.get_weights())
        teacher = frozen(begun, recipe.sampling)
    elif teacher is None and recipe.teacher:
        teacher = teacher_named(recipe.teacher, recipe.size)
    if teacher and teacher.features and recipe.teacher_sees != "clean":
        if recipe.imitation_weight or not teacher.ages:
            raise InvalidParameter(
                f"only distributions can be taught batch by batch, and {recipe.teacher} teaches features too: "
                "set imitation_weight=0 for a run, name an .onnx file that `agelens-train export` wrote, or leave "
                "teacher_sees at clean"
            )
        teacher = teacher.of_ages_alone()
    return Learner(network, recipe, teacher)


def _lessons(learner: Learner, stage: Stage, faces: FaceSet, run_dir: Path, display: Display) -> Targets | None:
    """Return the teacher's targets for a stage's clean faces, cached for stages on the same faces."""
    if learner.teacher is None or learner.recipe.teacher_sees != "clean":
        return None
    return lessons(
        learner.teacher,
        faces,
        learner.recipe.size,
        run_dir / f"lessons.{_first_alike(learner.recipe, stage)}.npy",
        display.taught,
        learner.taught_ages,
    )


def _agreement(recipe: Recipe, stage: Stage, faces: FaceSet, run_dir: Path, display: Display) -> Agreement | None:
    """Return what to compare the network with after each epoch, where it is to keep what IMDB-WIKI taught."""
    if not keeps_imdb_wiki(recipe):
        return None
    file = run_dir / f"lessons.val.{_first_alike(recipe, stage)}.npy"
    return Agreement.with_imdb_wiki(faces, recipe.size, file, display.taught)


def _first_alike(recipe: Recipe, stage: Stage) -> int:
    """Return the place of the first stage on the same faces: they share what a teacher said."""
    return [other.sources for other in recipe.stages].index(stage.sources)


def _refuse_other_crops(recipe: Recipe, stores: Sequence[FaceStore]) -> None:
    """Raise InvalidParameter if a store was cropped for another size, or otherwise than the first."""
    for store in stores:
        if store.crop.size != recipe.size:
            raise InvalidParameter(
                f"the faces of {store.source} were cut for {store.crop.size} px, {recipe.name} takes {recipe.size} px: "
                f"prepare them with --size {recipe.size}, or train with --size {store.crop.size}"
            )
        if not store.cut_as(stores[0].crop):
            raise InvalidParameter(
                f"the faces of {store.source} were cut with a margin of {store.crop.margin:g}, those of "
                f"{stores[0].source} with {stores[0].crop.margin:g}: prepare both with the same --margin"
            )


def _checkpoint(recipe: Recipe, run_dir: Path) -> Checkpoint:
    saved = Checkpoint.load(run_dir)
    # Compared as recipes: a field that came later has its default in an older run.
    if Recipe.from_json(saved.recipe) != recipe:
        raise CheckpointCorrupt(f"the checkpoint in {run_dir} is of another recipe; train into another folder")
    return saved


def _restore(learner: Learner, saved: Checkpoint, run_dir: Path) -> None:
    try:
        learner.restore(saved.model, saved.average, saved.optimizer, saved.progress.stage_steps)
    except ValueError as error:
        raise CheckpointCorrupt(f"the checkpoint in {run_dir} does not fit the network: {error}") from error
