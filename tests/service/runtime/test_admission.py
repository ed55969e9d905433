from __future__ import annotations

import pytest

from service.errors import ClientDisconnected, DeadlineExceeded, NotReady, QueueFull
from service.runtime.admission import Admission, Checkpoint, Submission


def nothing(_worker: str, _checkpoint: Checkpoint) -> None:
    return None


def submission(count: int = 1, deadline_s: float = 60) -> Submission[str, None]:
    return Submission([nothing] * count, deadline_s)


def admission(capacity: int = 4, threads: int = 1) -> Admission[str, None]:
    made: Admission[str, None] = Admission(capacity, threads)
    made.open()
    return made


def test_closed_admits_nothing() -> None:
    queue: Admission[str, None] = Admission(4, 1)
    with pytest.raises(NotReady):
        queue.enter(submission())


def test_submission_enters_whole_or_not_at_all() -> None:
    queue = admission(capacity=4)
    queue.enter(submission(3))
    with pytest.raises(QueueFull, match="2 more"):
        queue.enter(submission(2))
    assert queue.waiting == 3


def test_running_pictures_take_places_too() -> None:
    queue = admission(capacity=1)
    queue.enter(submission())
    assert queue.take() is not None
    with pytest.raises(QueueFull):
        queue.probe()
    queue.done(1.0)
    queue.probe()


def test_submissions_take_turns() -> None:
    queue = admission(capacity=9)
    batch, single = submission(3), submission()
    queue.enter(batch)
    queue.enter(single)
    jobs = [queue.take() for _ in range(4)]
    assert [job.submission for job in jobs if job] == [batch, single, batch, batch]


def test_pictures_of_a_submission_keep_their_order() -> None:
    queue = admission()
    batch = submission(3)
    queue.enter(batch)
    assert [queue.take() for _ in range(3)] == batch.jobs


def test_abandoned_submission_gives_its_places_back_at_once() -> None:
    queue = admission(capacity=4)
    batch = submission(4)
    queue.enter(batch)
    running = queue.take()
    queue.abandon(batch)
    assert (queue.waiting, queue.running) == (0, 1)
    assert running is batch.jobs[0]
    assert [job.future.cancelled() for job in batch.jobs] == [False, True, True, True]


def test_checkpoint_stops_for_a_caller_who_is_gone() -> None:
    queue, batch = admission(), submission()
    queue.enter(batch)
    batch.checkpoint()
    queue.abandon(batch)
    with pytest.raises(ClientDisconnected):
        batch.checkpoint()


def test_checkpoint_stops_at_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded):
        submission(deadline_s=0).checkpoint()


def test_retry_after_is_the_measured_time_of_what_is_inside() -> None:
    queue = admission(capacity=6, threads=2)
    queue.enter(submission())
    queue.take()
    queue.done(3.0)
    queue.enter(submission(6))
    with pytest.raises(QueueFull) as refused:
        queue.enter(submission())
    assert refused.value.retry_after_s == pytest.approx(6 * 3.0 / 2)


def test_given_up_pictures_do_not_count_as_quick_ones() -> None:
    queue = admission()
    for seconds in (2.0, None):
        queue.enter(submission())
        queue.take()
        queue.done(seconds)
    queue.enter(submission())
    assert queue.clear_in_s() == 2.0


def test_stopped_queue_is_emptied_first() -> None:
    queue = admission()
    queue.enter(submission())
    queue.stop()
    assert queue.take() is not None
    assert queue.take() is None


def test_picture_that_could_only_be_reached_after_its_deadline_is_refused_at_once() -> None:
    queue = admission(capacity=9)
    queue.enter(submission())
    queue.take()
    queue.done(10.0)
    queue.enter(submission(3))
    with pytest.raises(QueueFull, match="longer than the deadline"):
        queue.enter(submission(deadline_s=29))
    queue.enter(submission(deadline_s=31))
