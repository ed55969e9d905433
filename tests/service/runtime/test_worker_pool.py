from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service.errors import ClientDisconnected, DeadlineExceeded, NotReady, QueueFull
from service.runtime.admission import Checkpoint
from service.runtime.worker_pool import WorkerPool
from tests.service.doubles import Gate

pytestmark = pytest.mark.anyio

Task = Callable[[str, Checkpoint], str]


@asynccontextmanager
async def running(threads: int = 1, queue_size: int = 8) -> AsyncIterator[WorkerPool[str, str]]:
    engine: WorkerPool[str, str] = WorkerPool(lambda: "worker", threads=threads, queue_size=queue_size)
    await engine.start()
    try:
        yield engine
    finally:
        assert engine.stop(30)


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


async def ask(engine: WorkerPool[str, str], task: Task) -> str:
    with engine.admitted([task], 60) as (results, _):
        return await results.result(0)


async def test_task_gets_the_threads_worker() -> None:
    async with running() as engine:
        assert await ask(engine, says("x")) == "worker x"


async def test_each_thread_has_a_worker_of_its_own(gate: Gate) -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    engine: WorkerPool[object, object] = WorkerPool(make, threads=3, queue_size=3)
    await engine.start()

    def meet(worker: object, _: Checkpoint) -> object:
        gate.pass_through()
        return worker

    with engine.admitted([meet] * 3, 60) as (results, _):
        await asyncio.to_thread(gate.wait_for, 3)
        gate.open()
        assert {await results.result(i) for i in range(3)} == set(made)
    assert engine.stop(30)


async def test_error_goes_to_its_caller_and_the_thread_goes_on() -> None:
    async with running() as engine:
        with pytest.raises(ZeroDivisionError):
            await ask(engine, fails)
        assert await ask(engine, says("x")) == "worker x"


async def test_error_of_building_a_worker_is_raised_at_the_start() -> None:
    def broken() -> str:
        raise ValueError("no detector")

    engine: WorkerPool[str, str] = WorkerPool(broken, threads=2, queue_size=2)
    with pytest.raises(ValueError, match="no detector"):
        await engine.start()
    with pytest.raises(NotReady):
        engine.probe()


async def test_caller_gets_504_at_the_deadline_whatever_runs(gate: Gate) -> None:
    async with running() as engine:
        with engine.admitted([waits(gate)], 60) as (results, _):
            await asyncio.to_thread(gate.wait_for)
            results._order.deadline = 0
            with pytest.raises(DeadlineExceeded):
                await results.result(0)
        gate.open()


async def test_running_task_of_a_caller_who_left_stops_at_its_checkpoint(gate: Gate) -> None:
    async with running() as engine:
        with engine.admitted([waits(gate)], 60) as (results, give_up):
            await asyncio.to_thread(gate.wait_for)
            give_up()
            gate.open()
            with pytest.raises(ClientDisconnected):
                await results.result(0)


async def test_waiting_task_of_a_caller_who_left_never_runs(gate: Gate) -> None:
    ran: list[str] = []
    async with running() as engine:
        with engine.admitted([waits(gate)], 60) as (first, _):
            await asyncio.to_thread(gate.wait_for)
            with engine.admitted([remembers(ran)], 60) as (second, give_up):
                give_up()
                with pytest.raises(ClientDisconnected):
                    await second.result(0)
            gate.open()
            assert await first.result(0) == "done"
    assert ran == []


async def test_leaving_the_block_gives_up_what_waits(gate: Gate) -> None:
    async with running() as engine:
        with engine.admitted([waits(gate)] * 5, 60):
            await asyncio.to_thread(gate.wait_for)
            assert engine.waiting == 4
        assert engine.waiting == 0
        gate.open()


async def test_queue_is_bounded(gate: Gate) -> None:
    async with running(queue_size=1) as engine:
        with engine.admitted([waits(gate)] * 2, 60), pytest.raises(QueueFull):
            engine.probe()
        gate.open()


async def test_results_come_as_they_are_ready(gate: Gate) -> None:
    async with running(threads=2) as engine:
        with engine.admitted([waits(gate), says("x")], 60) as (results, _):
            order = []
            async for index in results.completed():
                order.append(index)
                gate.open()
    assert order == [1, 0]


async def test_what_is_not_ready_at_the_deadline_comes_as_a_failure(gate: Gate) -> None:
    async with running() as engine:
        with engine.admitted([waits(gate)] * 2, 0.01) as (results, _):
            assert [index async for index in results.completed()] == [0, 1]
            with pytest.raises(DeadlineExceeded):
                results.outcome(1)
        gate.open()


async def test_thread_that_hangs_is_complained_of(gate: Gate) -> None:
    async with running() as engine:
        assert engine.complaint(stuck_after_s=0) is None
        with engine.admitted([waits(gate)], 60):
            await asyncio.to_thread(gate.wait_for)
            assert "agelens-0 has been busy" in str(engine.complaint(stuck_after_s=0))
            assert engine.complaint(stuck_after_s=60) is None
        gate.open()


async def test_thread_that_ended_is_complained_of() -> None:
    async with running() as engine:
        engine.stop(30)
        assert engine.complaint(60) == "agelens-0 has ended"


async def test_nothing_enters_after_closing_but_what_is_inside_ends(gate: Gate) -> None:
    async with running() as engine:
        with engine.admitted([waits(gate)], 60) as (results, _):
            engine.close()
            with pytest.raises(NotReady):
                engine.probe()
            gate.open()
            assert await results.result(0) == "done"
