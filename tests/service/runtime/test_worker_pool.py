from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext

import pytest

from service.errors import ClientDisconnected, DeadlineExceeded, NotReady, QueueFull
from service.runtime.admission import Checkpoint
from service.runtime.worker_pool import WorkerPool
from tests.service.doubles import Gate

pytestmark = pytest.mark.anyio

Task = Callable[[str, Checkpoint], str]


@asynccontextmanager
async def running(threads: int = 1, queue_size: int = 8) -> AsyncIterator[WorkerPool[str, str]]:
    pool: WorkerPool[str, str] = WorkerPool(lambda: nullcontext("worker"), threads=threads, queue_size=queue_size)
    await pool.start()
    try:
        yield pool
    finally:
        assert pool.stop(30)


def says(text: str) -> Task:
    return lambda worker, _: f"{worker} {text}"


def waits(gate: Gate) -> Task:
    def task(_: str, checkpoint: Checkpoint) -> str:
        gate.pass_through()
        checkpoint()
        return "done"

    return task


def remembers(ran: list[str]) -> Task:
    def task(worker: str, _: Checkpoint) -> str:
        ran.append(worker)
        return worker

    return task


def fails(_worker: str, _checkpoint: Checkpoint) -> str:
    raise ZeroDivisionError


async def ask(pool: WorkerPool[str, str], task: Task) -> str:
    with pool.admitted([task], 60) as (results, _):
        return await results.result(0)


async def test_task_gets_the_threads_worker() -> None:
    async with running() as pool:
        assert await ask(pool, says("x")) == "worker x"


async def test_each_thread_has_a_worker_of_its_own(gate: Gate) -> None:
    made: list[object] = []

    def make() -> AbstractContextManager[object]:
        made.append(object())
        return nullcontext(made[-1])

    pool: WorkerPool[object, object] = WorkerPool(make, threads=3, queue_size=3)
    await pool.start()

    def meet(worker: object, _: Checkpoint) -> object:
        gate.pass_through()
        return worker

    with pool.admitted([meet] * 3, 60) as (results, _):
        await asyncio.to_thread(gate.wait_for, 3)
        gate.open()
        assert {await results.result(i) for i in range(3)} == set(made)
    assert pool.stop(30)


async def test_each_thread_leaves_its_worker_when_it_ends() -> None:
    inside: list[str] = []

    @contextmanager
    def make() -> Iterator[str]:
        name = threading.current_thread().name
        inside.append(name)
        yield "worker"
        assert threading.current_thread().name == name
        inside.remove(name)

    pool: WorkerPool[str, str] = WorkerPool(make, threads=2, queue_size=2)
    await pool.start()
    assert len(inside) == 2
    assert pool.stop(30)
    assert inside == []


async def test_error_goes_to_its_caller_and_the_thread_goes_on() -> None:
    async with running() as pool:
        with pytest.raises(ZeroDivisionError):
            await ask(pool, fails)
        assert await ask(pool, says("x")) == "worker x"


async def test_error_of_building_a_worker_is_raised_at_the_start() -> None:
    def broken() -> AbstractContextManager[str]:
        raise ValueError("no detector")

    pool: WorkerPool[str, str] = WorkerPool(broken, threads=2, queue_size=2)
    with pytest.raises(ValueError, match="no detector"):
        await pool.start()
    with pytest.raises(NotReady):
        pool.probe()


async def test_an_end_before_the_workers_are_built_is_quiet(gate: Gate) -> None:
    crashed: list[object] = []
    before, threading.excepthook = threading.excepthook, crashed.append

    def slow() -> AbstractContextManager[str]:
        gate.pass_through()
        return nullcontext("worker")

    try:
        pool: WorkerPool[str, str] = WorkerPool(slow, threads=2, queue_size=2)
        starting = asyncio.create_task(pool.start())
        await asyncio.to_thread(gate.wait_for, 2)
        starting.cancel()
        await asyncio.wait([starting])
        gate.open()
        assert await asyncio.to_thread(pool.stop, 30)
    finally:
        threading.excepthook = before
    assert crashed == []


async def test_caller_gets_504_at_the_deadline_whatever_runs(gate: Gate) -> None:
    async with running() as pool:
        with pool.admitted([waits(gate)], 0.5) as (results, _), pytest.raises(DeadlineExceeded):
            await results.result(0)
        gate.open()


async def test_running_task_of_a_caller_who_left_stops_at_its_checkpoint(gate: Gate) -> None:
    async with running() as pool:
        with pool.admitted([waits(gate)], 60) as (results, give_up):
            await asyncio.to_thread(gate.wait_for)
            give_up()
            gate.open()
            with pytest.raises(ClientDisconnected):
                await results.result(0)


async def test_waiting_task_of_a_caller_who_left_never_runs(gate: Gate) -> None:
    ran: list[str] = []
    async with running() as pool:
        with pool.admitted([waits(gate)], 60) as (first, _):
            await asyncio.to_thread(gate.wait_for)
            with pool.admitted([remembers(ran)], 60) as (second, give_up):
                give_up()
                with pytest.raises(ClientDisconnected):
                    await second.result(0)
            gate.open()
            assert await first.result(0) == "done"
    assert ran == []


async def test_leaving_the_block_gives_up_what_waits(gate: Gate) -> None:
    async with running() as pool:
        with pool.admitted([waits(gate)] * 5, 60):
            await asyncio.to_thread(gate.wait_for)
            assert pool.waiting == 4
        assert pool.waiting == 0
        gate.open()


async def test_queue_is_bounded(gate: Gate) -> None:
    async with running(queue_size=1) as pool:
        with pool.admitted([waits(gate)] * 2, 60), pytest.raises(QueueFull):
            pool.probe()
        gate.open()


async def test_results_come_as_they_are_ready(gate: Gate) -> None:
    async with running(threads=2) as pool:
        with pool.admitted([waits(gate), says("x")], 60) as (results, _):
            order = []
            async for index in results.completed():
                order.append(index)
                gate.open()
    assert order == [1, 0]


async def test_what_is_not_ready_at_the_deadline_comes_as_a_failure(gate: Gate) -> None:
    async with running() as pool:
        with pool.admitted([waits(gate)] * 2, 0.01) as (results, _):
            assert [index async for index in results.completed()] == [0, 1]
            with pytest.raises(DeadlineExceeded):
                results.outcome(1)
        gate.open()


async def test_thread_that_hangs_is_complained_of(gate: Gate) -> None:
    async with running() as pool:
        assert pool.complaint(stuck_after_s=0) is None
        with pool.admitted([waits(gate)], 60):
            await asyncio.to_thread(gate.wait_for)
            assert "agelens-0 has been busy" in str(pool.complaint(stuck_after_s=0))
            assert pool.complaint(stuck_after_s=60) is None
        gate.open()


async def test_thread_that_ended_is_complained_of() -> None:
    async with running() as pool:
        pool.stop(30)
        assert pool.complaint(60) == "agelens-0 has ended"


async def test_nothing_enters_after_closing_but_what_is_inside_ends(gate: Gate) -> None:
    async with running() as pool:
        with pool.admitted([waits(gate)], 60) as (results, _):
            pool.close()
            with pytest.raises(NotReady):
                pool.probe()
            gate.open()
            assert await results.result(0) == "done"
