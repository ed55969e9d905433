"""Learning rates and the share of a stage that is over."""

from __future__ import annotations

from math import inf

import pytest

from training.fit.schedule import Progress, fraction, learning_rate, time_left_s
from training.recipes.recipe import Stage

STAGE = Stage("all", epochs=10, learning_rate=1e-3, final_learning_rate=1e-5, warmup_steps=100)
HEAD = Stage("head", epochs=5, learning_rate=1e-3)


def test_the_rate_warms_up_in_a_line() -> None:
    assert learning_rate(STAGE, 0, 0.0) == pytest.approx(1e-5)
    assert learning_rate(STAGE, 49, 0.0) == pytest.approx(5e-4)
    assert learning_rate(STAGE, 99, 0.0) == pytest.approx(1e-3)


def test_the_rate_falls_as_a_cosine_to_its_end() -> None:
    assert learning_rate(STAGE, 500, 0.5) == pytest.approx((1e-3 + 1e-5) / 2)
    assert learning_rate(STAGE, 999, 1.0) == pytest.approx(1e-5)


def test_without_a_budget_steps_tell_how_much_is_over() -> None:
    assert fraction(Progress(stage_steps=250, elapsed_s=1e9), 100, (STAGE,), None) == 0.25


def test_a_budget_that_runs_out_sooner_tells() -> None:
    assert fraction(Progress(stage_steps=250, elapsed_s=300.0), 100, (STAGE,), 600.0) == 0.5


def test_a_budget_longer_than_the_epochs_does_not_stretch_them() -> None:
    assert fraction(Progress(stage_steps=250, elapsed_s=1.0), 100, (STAGE,), 600.0) == 0.25


def test_stages_share_the_budget_by_their_epochs() -> None:
    assert fraction(Progress(elapsed_s=100.0), 100, (HEAD, STAGE), 600.0) == pytest.approx(0.5)


def test_time_that_a_stage_did_not_need_goes_to_the_next() -> None:
    later = Progress(stage=1, elapsed_s=330.0, stage_began_s=60.0)
    assert fraction(later, 100, (HEAD, STAGE), 600.0) == pytest.approx(0.5)


def test_more_than_the_whole_is_the_whole() -> None:
    assert fraction(Progress(elapsed_s=900.0), 100, (STAGE,), 600.0) == 1.0


def test_the_next_stage_begins_where_this_one_ended() -> None:
    ended = Progress(stage=0, epoch=5, stage_steps=50, total_steps=70, elapsed_s=9.0, best_mae=4.0, best_epoch=2)
    assert ended.next_stage() == Progress(stage=1, total_steps=70, elapsed_s=9.0, stage_began_s=9.0)


def test_time_left_follows_the_pace_so_far() -> None:
    assert time_left_s(Progress(elapsed_s=100.0, stage_began_s=40.0), 0.25) == pytest.approx(180.0)
    assert time_left_s(Progress(), 0.0) == inf
