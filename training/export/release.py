"""Finish a model file: calibrate it on its own output, write the manifest, lock it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.inference.age_mix import FittedMix, fit_mix
from service.inference.distribution import AGES
from service.inference.imaging import exposed
from service.inference.manifest import CropSpec, IntervalTable, Manifest
from training.data.store import FaceSet, FaceStore, Integers, signed_error
from training.data.wear import worn
from training.datasets.sample import SPLITS
from training.export.calibration_nodes import mix_behind, set_correction, set_mix
from training.export.graph import embed, run
from training.export.lock import lock_model, own_model, write_model
from training.measures.calibration import (
    ENOUGH,
    FEWEST_HALVED,
    SMALLEST_BAND,
    Correction,
    age_mix,
    balanced,
    calibration_loss,
    conformal_table,
    decoded,
    fit_correction,
    fitted_to,
    halves_of,
    known,
    losses,
    standard_error,
)

WORN_COPIES = 2
"""Worn copies of each `calib` face that the intervals are fitted on, beside the face itself."""

WIDTHS = 3
"""Bands of the distributions' own width within one of predicted age."""

NO_LONGER_TRUE = ("balance", "temperature", *(f"{split}_" for split in (*SPLITS, "all")))
"""How metrics begin that a new calibration makes wrong: what was measured before was another file's."""

NOT_FITTED = (1 / AGES,) * AGES
"""The `age_mix` of a manifest that `finish` is to complete."""

DECODE_GAIN = 0.05
"""Years of `val` MAE by which the mean must beat the median to be preferred.

A child's distribution leans towards the older, and its mean with it: where both erred alike, to 0.02 years, the mean
read those of 10 to 17 as 3.0 years too old, the median as 2.2.
"""


@dataclass(frozen=True)
class Split:
    """The faces of one split as they were cut: uint8 [n, size, size, 3], ages low..high int64 [n], source names."""

    cut: NDArray[np.uint8]
    low: Integers
    high: Integers
    sources: tuple[str, ...]
    crop: CropSpec

    @cached_property
    def faces(self) -> NDArray[np.uint8]:
        """The faces as the network sees them, with the exposure that its crop declares."""
        return np.stack([exposed(face, self.crop) for face in self.cut])

    def worn(self, seed: int) -> Split:
        """Return the same faces, each worn in ways that `seed` and its place choose."""
        return replace(
            self, cut=np.stack([worn(face, np.random.default_rng((seed, n))) for n, face in enumerate(self.cut)])
        )

    def where(self, chosen: NDArray[np.bool_]) -> Split:
        """Return the faces marked in `chosen`, bool [n]."""
        sources = tuple(source for source, is_chosen in zip(self.sources, chosen, strict=True) if is_chosen)
        return replace(self, cut=self.cut[chosen], low=self.low[chosen], high=self.high[chosen], sources=sources)

    @classmethod
    def load(cls, stores: Sequence[Path], split: str, crop: CropSpec, limit: int | None = None) -> Split:
        """Read one split of several stores, at most `limit` faces spread evenly.

        Raises InvalidParameter for a store of another crop, ValueError where there is no such face.
        """
        opened = [FaceStore.open(path) for path in stores]
        for path, store in zip(stores, opened, strict=True):
            refuse_other_crop(path, store, crop)
        chosen = FaceSet.joined([store.select(split) for store in opened])
        if limit is not None:
            chosen = chosen.limited(limit)
        if not len(chosen):
            raise ValueError(f"no `{split}` faces in {', '.join(map(str, stores))}; prepare a store with that split")
        faces = chosen.faces(np.arange(len(chosen)), crop.size)
        sources = tuple(row["source"] for row in chosen.rows)
        return cls(faces, np.clip(chosen.low, 0, AGES - 1), np.clip(chosen.high, 0, AGES - 1), sources, crop)


def refuse_other_crop(path: Path, store: FaceStore, crop: CropSpec) -> None:
    """Raise InvalidParameter where the faces of a store, opened at `path`, were not cut as a model takes them."""
    if not store.cut_as(crop):
        raise InvalidParameter(
            f"{path} has faces of {store.crop.size} pixels with a margin of {store.crop.margin:g} and the model takes "
            f"{crop.size} with {crop.margin:g}; prepare it with --size {crop.size} --margin {crop.margin:g}"
        )


@dataclass(frozen=True)
class Calibration:
    """A fitted correction, the `pmf` [n, 101] of the faces it was fitted on, and the losses before and after.

    Both are `calibration_loss`, for the faces' own mix of ages; `mix` [101] is the one that `pmf` is right for.
    """

    correction: Correction
    pmf: NDArray[np.float32]
    loss_before: float
    loss_after: float
    mix: NDArray[np.float64]


def calibrate(
    model: onnx.ModelProto, calib: Split, balance: float = 0.0, target: NDArray[np.float64] | None = None
) -> Calibration:
    """Fit the correction on `calib` to the output of this graph, and set it in the graph.

    The probabilities are made right for the mix of ages of the faces that it is fitted to, and then by Bayes' rule for
    `target` [101]; where none is given for theirs, `balanced`. To weigh faces in the fit is not enough: a correction
    that is linear between nine ages cannot follow a mix, and P stayed right for the mix that the network had learnt.
    """
    fitted = fitted_to(calib.low, calib.high)
    low, high = calib.low[fitted], calib.high[fitted]
    mix = age_mix(low, high)
    target = balanced(low, high, balance) if target is None else target
    set_correction(model, Correction())
    plain = run(model, calib.faces)
    correction = fit_correction(plain, calib.low, calib.high)
    before, after = (calibration_loss(each, calib.low, calib.high) for each in (plain, correction.applied(plain)))
    set_correction(model, correction)
    set_mix(model, mix, target)
    pmf = run(model, calib.faces)
    return Calibration(correction, pmf, before, after, target)


def faces_of_mix(calib: Split, own: NDArray[np.float64], mix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Choose faces of a mix of ages `own` [101] at random so that they are as if drawn from `mix`, bool [n].

    Ages that are more than ten times rarer than they should be stay too rare: else a few faces would leave nobody.
    """
    middle = (calib.low + calib.high) // 2
    weight = mix[middle] / own[middle]
    most = min(weight.max(), 10 * weight.mean())
    return np.asarray(np.random.default_rng(0).random(len(middle)) < weight / most)


def intervals(model: onnx.ModelProto, calib: Split, pmf: NDArray[np.float32], decode: str) -> tuple[IntervalTable, ...]:
    """Read the conformal table off corrected pmfs [n, 101] of `calib`, and off what the graph says of it worn.

    Each face counts once as it is and `WORN_COPIES` times worn, and is compared with those as wide as it: a picture
    that is as good as those of the training sets keeps a narrow interval. Among these, clean faces and worn ones are
    both covered, whichever need the wider interval.
    """
    answers = [pmf, *(run(model, calib.worn(seed).faces) for seed in range(WORN_COPIES))]
    low, high = (np.tile(ends, len(answers)) for ends in (calib.low, calib.high))
    every, is_worn = np.concatenate(answers), np.repeat(np.arange(len(answers)) > 0, len(pmf))
    return conformal_table(every, low, high, decoded(every, decode), widths=WIDTHS, kinds=is_worn.astype(np.int64))


def mean_error(pmf: NDArray[np.floating], low: Integers, high: Integers, decode: str) -> float:
    """Mean absolute error in years of pmf [n, 101]; an age inside low..high is no error."""
    return float(np.abs(signed_error(decoded(pmf, decode), low, high)).mean())


def finish(
    model: onnx.ModelProto,
    manifest: Manifest,
    stores: Sequence[Path],
    balance: float | None = None,
    target: NDArray[np.float64] | None = None,
) -> Manifest:
    """Calibrate the graph on `calib`, choose its decode on `val` and embed the manifest, which is returned.

    The conformal table is read off `calib` alone, clean and worn. `balance` and `target` are `calibrate`'s; where both
    are None, they are what they were. With a `target` the table is read off faces of that mix, and there is none if
    those are too few: the service then takes the distribution's own central interval.
    """
    balance, target = _aims(manifest, balance, target)
    calib, val = Split.load(stores, "calib", manifest.crop), Split.load(stores, "val", manifest.crop)
    fitted = calibrate(model, calib, balance or 0.0, target)
    pmf = run(model, val.faces)
    errors = {decode: mean_error(pmf, val.low, val.high, decode) for decode in ("median", "mean")}
    decode = "mean" if errors["mean"] < errors["median"] - DECODE_GAIN else "median"
    metrics = {
        **({} if balance is None else {"balance": balance}),
        "val_mae": errors[decode],
        "val_mae_median": errors["median"],
        "val_mae_mean": errors["mean"],
        "calib_loss_before": fitted.loss_before,
        "calib_loss": fitted.loss_after,
    }
    for source in sorted(set(val.sources)):
        rows = np.array([name == source for name in val.sources])
        metrics[f"val_mae_{source}"] = mean_error(pmf[rows], val.low[rows], val.high[rows], decode)
    rounded = {name: round(value, 4) for name, value in metrics.items()}
    if target is None:
        table = intervals(model, calib, fitted.pmf, decode)
    else:
        table = _intervals_for(target, model, calib, fitted.pmf, decode)
    return _embedded(model, manifest.model_copy(update={"decode": decode}), table, fitted.mix, rounded)


def _intervals_for(
    mix: NDArray[np.float64], model: onnx.ModelProto, calib: Split, pmf: NDArray[np.float32], decode: str
) -> tuple[IntervalTable, ...]:
    """Read `intervals` off the faces of `calib` that are as if drawn from a mix of ages [101]; of too few, none."""
    fitted = fitted_to(calib.low, calib.high)
    chosen = faces_of_mix(calib, age_mix(calib.low[fitted], calib.high[fitted]), mix)
    return intervals(model, calib.where(chosen), pmf[chosen], decode) if chosen.sum() >= SMALLEST_BAND else ()


def _embedded(
    model: onnx.ModelProto,
    manifest: Manifest,
    table: tuple[IntervalTable, ...],
    mix: NDArray[np.float64],
    metrics: dict[str, float],
) -> Manifest:
    """Embed the manifest with these intervals, mix of ages [101] and metrics; those no longer true are dropped."""
    kept = {name: value for name, value in manifest.metrics.items() if not name.startswith(NO_LONGER_TRUE)}
    shares = tuple(float(f"{share:.6g}") for share in mix)
    update = {"intervals": table, "age_mix": shares, "metrics": {**kept, **metrics}}
    finished = Manifest.model_validate(manifest.model_copy(update=update).model_dump())
    embed(model, finished)
    return finished


def _aims(
    manifest: Manifest, balance: float | None, target: NDArray[np.float64] | None
) -> tuple[float | None, NDArray[np.float64] | None]:
    """Return `calibrate`'s balance or target; where both are None, they are what they were."""
    if target is None and balance is None:
        balance = manifest.metrics.get("balance")
        target = None if balance is not None else manifest.mix()
    return balance, target


def calibrated_error(model: onnx.ModelProto, manifest: Manifest, stores: Sequence[Path]) -> float:
    """Return the mean absolute error on `val` in years that a copy of the graph has, calibrated to `stores`."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    calib, val = (Split.load(stores, split, manifest.crop) for split in ("calib", "val"))
    balance, target = _aims(manifest, None, None)
    calibrate(copied, calib, balance or 0.0, target)
    return mean_error(run(copied, val.faces), val.low, val.high, manifest.decode)


def publish(model: onnx.ModelProto, out: Path, default: bool | None = None) -> Path:
    """Write a finished graph as `out/NAME.onnx` with its lock entry; return the path."""
    path = write_model(model, out)
    lock_model(path, default)
    return path


def recalibrate(
    path: Path,
    stores: Sequence[Path],
    balance: float | None = None,
    version: str | None = None,
    notice: Callable[[str], None] | None = None,
) -> Path:
    """Fit correction, decode and intervals of a finished file anew from `stores`; return its path.

    `version` None keeps the file's. A calibrated file is kept as it is, and `notice` told why, where few faces do not
    show that they calibrate it better. Raises pydantic's ValidationError for a version that is not three numbers,
    and InvalidParameter for a file of another name than its manifest's.
    """
    model, before = own_model(path)
    few = _too_few(model, before, Split.load(stores, "calib", before.crop)) if balance is None else ""
    if few:
        embed(model, _versioned(before, version))
        if notice:
            notice(f"{few}, or name the mix of ages with --balance")
    else:
        finish(model, _to_calibrate(before, version), stores, balance)
    return publish(model, path.parent)


def _too_few(model: onnx.ModelProto, manifest: Manifest, calib: Split) -> str:
    """Return why `calib` has too few faces to replace a calibration; "" if each half calibrates the other better."""
    calib = calib.where(fitted_to(calib.low, calib.high))
    count = len(calib.low)
    kept = f"{manifest.name} keeps its calibration: {count} `calib` faces do not show that they calibrate it better"
    remedy = f"give more, {ENOUGH} are always taken"
    if count >= ENOUGH:
        return ""
    if count < FEWEST_HALVED:
        return f"{kept}; {remedy}"
    balance, target = _aims(manifest, None, None)
    before = run(model, calib.faces)
    after = np.empty_like(before)
    for half in halves_of(count):
        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        calibrate(copied, calib.where(half), balance or 0.0, target)
        after[~half] = run(copied, calib.where(~half).faces)
    old, new = (losses(pmf, calib.low, calib.high) for pmf in (before, after))
    if (new - old).mean() < -standard_error(new - old):
        return ""
    loss = "CRPS in years" if known(calib.low, calib.high).any() else "log loss in nats"
    return f"{kept} ({loss} {old.mean():.2f}; of halves that calibrate each other {new.mean():.2f}); {remedy}"


def recalibrate_for(
    path: Path,
    stores: Sequence[Path],
    faces: NDArray[np.uint8],
    version: str | None = None,
    notice: Callable[[str], None] | None = None,
) -> FittedMix:
    """Calibrate a finished file anew for the mix of ages of unlabelled faces uint8 [n, size, size, 3]; return it.

    The mix is estimated from what the file says of them, calibrated to `stores`; where `recalibrate` would keep its
    calibration, it is kept but for mix and intervals. `version` and `notice` are as there. Raises InvalidParameter
    where there are too few faces, and for a file of another name than its manifest's.
    """
    model, before = own_model(path)
    calib, manifest = Split.load(stores, "calib", before.crop), _to_calibrate(before, version)
    few = _too_few(model, before, calib)
    if not few:
        manifest = finish(model, manifest, stores)
    found = fit_mix(run(model, faces), manifest.mix())
    if few:
        set_mix(model, mix_behind(model, manifest.mix()), found.mix)
        table = _intervals_for(found.mix, model, calib, run(model, calib.faces), manifest.decode)
        _embedded(model, manifest, table, found.mix, {})
        if notice:
            notice(f"{few}; its probabilities are restated for the photographs' mix of ages")
    else:
        finish(model, manifest, stores, target=found.mix)
    publish(model, path.parent)
    return found


def _to_calibrate(manifest: Manifest, version: str | None) -> Manifest:
    """Return a finished file's manifest as of another version, without what its float32 file was measured at."""
    metrics = {name: value for name, value in manifest.metrics.items() if name != "float32_val_mae"}
    return _versioned(manifest.model_copy(update={"metrics": metrics}), version)


def _versioned(manifest: Manifest, version: str | None) -> Manifest:
    """Return a manifest as of another version, if one is given."""
    return Manifest.model_validate(
        {**manifest.model_dump(), "version": manifest.version if version is None else version}
    )
