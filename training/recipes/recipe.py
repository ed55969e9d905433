"""Training recipes: everything that determines a run."""

from __future__ import annotations

from dataclasses import field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from annotated_types import Ge, Interval, MinLen
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from service.errors import InvalidParameter
from training.data.augment import Augmentation, NotNegative, Share
from training.data.store import Sampling

TeacherSees = Literal["clean", "batches", "framed"]
Natural = Annotated[int, Ge(0)]

# Strict, so that a number is no text and a share no truth value; parts are checked again when a field is replaced.
CONFIG: Final = ConfigDict(strict=True, extra="forbid", revalidate_instances="always", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, config=CONFIG)
class Stage:
    """One phase of a recipe; it starts from the weights with the lowest val_mae of the phase before.

    `trainable` is "all", "head", or the name of the first layer of the backbone that learns: those before it stay as
    they are, which costs less. Rates are AdamW's peak and last learning rate; `backbone_rate` multiplies them for the
    backbone. `sources` names the stores to use (empty: all). `patience` ends the stage after that many epochs without a
    lower val_mae (0: never). `augmentation` replaces the recipe's: a last stage on faces as the service sees them
    undoes the cost of strong augmentation (He, Xie, Chen, Zhang, Wang and Tian 2019, arXiv 1909.09148). `mixing` above
    0 is mixup with weights from Beta(mixing, mixing).
    """

    name: str
    epochs: Annotated[int, Ge(1)]
    learning_rate: NotNegative
    final_learning_rate: NotNegative = 1e-5
    trainable: str = "all"
    backbone_rate: NotNegative = 1.0
    weight_decay: NotNegative = 1e-4
    warmup_steps: Natural = 200
    sources: tuple[str, ...] = ()
    patience: Natural = 0
    augmentation: Augmentation | None = None
    mixing: NotNegative = 0.0


@dataclass(frozen=True, slots=True, config=CONFIG)
class Recipe:
    """A training run: network, stages, augmentation, optimisation, teacher.

    `command`, `cost` and `expected` are for people; `expected` is the score of a whole run. `weights` is a name in
    `training.weights.store` or a path; `preprocessing` is the input scaling of such a path's network, where its name
    does not tell. `size` is the pixels a side of the faces, `shrunk_to` those that the network shrinks them to first.
    `teacher` names another network (see `training.teaching.teacher`), or as "itself" the network as it begins: its
    distribution takes `teacher_weight` of the loss (0..1), its features are imitated with `imitation_weight`. It sees
    every clean face once, or with `teacher_sees` "batches" in each step the augmented and mixed faces that the student
    sees, or with "framed" those faces before light and detail were augmented. `start_share` is the share of the initial
    weights in the final ones (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3).
    `merged_with` names other weights of the same backbone that the initial ones are averaged with, `merged_share` of
    them (see `training.weights.merge`). `first_layers` is the folder of an earlier run whose layers before the one that
    `trainable` names take the place of the initial weights' and stay as they are: two networks with the same first
    layers are one up to there in an ensemble (see `training.export.ensemble`). `ramp_epochs` is how long a head's
    secondary losses take to reach full weight.
    """

    name: str
    command: str
    cost: str
    expected: str
    backbone: str
    head: str
    stages: Annotated[tuple[Stage, ...], MinLen(1)]
    head_options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    preprocessing: str | None = None
    size: Annotated[int, Ge(1)] = 128
    shrunk_to: int | None = None
    batch_size: Annotated[int, Ge(2)] = 64
    augmentation: Augmentation = field(default_factory=Augmentation)
    sampling: Sampling = "uniform"
    seed: Natural = 0
    batch_norm_momentum: Share = 0.97
    ramp_epochs: NotNegative = 2.0
    ema_decay: Annotated[float, Interval(ge=0, lt=1)] = 0.999
    clip_norm: NotNegative = 5.0
    mixed_precision: bool = False
    teacher: str | None = None
    teacher_sees: TeacherSees = "clean"
    teacher_weight: Share = 0.5
    imitation_weight: NotNegative = 1.0
    start_share: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    merged_with: str | None = None
    merged_share: Share = 0.3
    first_layers: str | None = None
    checkpoint_steps: Annotated[int, Ge(1)] = 200
    faces_per_set: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        """Raise InvalidParameter where a share of the initial weights is to be kept and there are none.

        Or where faces are to be shrunk to more pixels than they have, or layers of another run would be trained on.
        """
        if self.shrunk_to is not None and not 1 <= self.shrunk_to <= self.size:
            raise InvalidParameter(
                f"recipe {self.name}: the network shrinks faces to shrunk_to pixels a side, so at most to their "
                f"size, {self.size}; got {self.shrunk_to}: choose another with --set shrunk_to=PIXELS"
            )
        if self.start_share and self.weights is None:
            raise InvalidParameter(
                f"recipe {self.name}: start_share is a share of the initial weights, and it has none"
            )
        learning = {stage.trainable for stage in self.stages}
        if self.first_layers is not None and (len(learning) > 1 or learning & {"all", "head"}):
            raise InvalidParameter(
                f"recipe {self.name}: the layers of first_layers stay as they are, so every stage's trainable names "
                "the layer after them: put --set stages.trainable=conv_dw_8, or another layer, in front of "
                f"--set first_layers; got {', '.join(sorted(learning))}"
            )
        if self.first_layers is not None and self.start_share:
            raise InvalidParameter(
                f"recipe {self.name}: the layers of first_layers stay as they are, to the bit, and start_share "
                "averages all layers: --set start_share=0"
            )

    def to_json(self) -> str:
        """Return the recipe as indented JSON."""
        return TypeAdapter(Recipe).dump_json(self, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read back what `to_json` wrote; raise ValidationError, a ValueError, where it is none."""
        return TypeAdapter(Recipe).validate_json(text)

    def save(self, folder: Path) -> None:
        """Write `recipe.json` into `folder`."""
        (folder / "recipe.json").write_text(self.to_json())


_NO_RECIPES = frozenset({"__init__", "recipe", "overrides"})


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes in `training/recipes`, sorted."""
    files = Path(__file__).parent.glob("*.py")
    return tuple(sorted(file.stem for file in files if file.stem not in _NO_RECIPES))


def recipe_named(name: str) -> Recipe:
    """Return the recipe of `training/recipes/NAME.py`; raise InvalidParameter naming the ones there are."""
    stem = name.replace("-", "_")
    if stem not in recipe_names():
        raise InvalidParameter(f"there is no recipe {name!r}; choose one of {', '.join(recipe_names())}")
    recipe: Recipe = import_module(f"training.recipes.{stem}").RECIPE
    return recipe
