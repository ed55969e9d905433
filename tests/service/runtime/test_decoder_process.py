"""Decoding in a process that is ended where it does not come back, and the budget that lets pictures in."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak import adversarial, adversarial_jpeg
from service.errors import (
    ClientDisconnected,
    CorruptPicture,
    DeadlineExceeded,
    PictureTooLarge,
    SetupError,
    UnsupportedPicture,
)
from service.inference.decoding.cost import price
from service.inference.decoding.limits import DecodeLimits
from service.inference.decoding.photo import decode_image
from service.runtime import decoder_process
from service.runtime.decode_budget import BudgetedDecoder, DecodeBudget
from service.runtime.decoder_process import DecoderLauncher, DecoderProcess
from tests.service.doubles import encoded, grey
from tests.service.hanging_decoder import COMPUTES, CRASHES, FAILS, GROWS, WAITS
from tests.service.hanging_server import HANGING


def nobody_leaves() -> None:
    """The caller stays."""


def nobody_waits() -> None:
    pytest.fail("memory that is free is not given at once")


@pytest.fixture(scope="module")
def launcher() -> Iterator[DecoderLauncher]:
    launcher = DecoderLauncher(HANGING)
    keeper = launcher.decoder()
    yield launcher
    keeper.close()


@pytest.fixture
def process(launcher: DecoderLauncher) -> Iterator[DecoderProcess]:
    process = launcher.decoder()
    yield process
    process.close()


def decode(
    process: DecoderProcess, data: bytes, max_s: float = 5.0, checkpoint: Callable[[], None] = nobody_leaves
) -> object:
    return process.decode(price(data, 10**8), 10**8, None, max_s, checkpoint)


def end(process: DecoderProcess, number: int = signal.SIGKILL) -> None:
    """End the process behind its owner's back, and wait until it has."""
    os.kill(process.number, number)
    while Path(f"/proc/{process.number}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        os.sched_yield()


class Patience:
    """Fails where it is asked again after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def __call__(self) -> None:
        assert time.monotonic() < self._until, "the hang was not noticed"


def still_works(process: DecoderProcess) -> bool:
    photo, _ = process.decode(price(grey(51), 10**8), 10**8, None, 5.0, nobody_leaves)
    return bool((photo.pixels == 51).all())


@pytest.mark.parametrize("min_side", [None, 100])
def test_pixels_are_those_of_a_decode_in_this_process(process: DecoderProcess, min_side: int | None) -> None:
    data = adversarial_jpeg.stripes(640, 480, "JPEG")
    photo, seconds = process.decode(price(data, 10**8), 10**8, min_side, 5.0, nobody_leaves)
    here = decode_image(data, min_side=min_side)
    assert np.array_equal(photo.pixels, here.pixels)
    assert (photo.width, photo.height) == (here.width, here.height) == (640, 480)
    assert seconds > 0


def test_refusal_comes_back_as_the_error_it_was(process: DecoderProcess) -> None:
    data = grey(51, side=40)
    with pytest.raises(PictureTooLarge, match="40 x 40"):
        process.decode(price(data, 10**8), 100, None, 5.0, nobody_leaves)
    with pytest.raises(CorruptPicture, match="truncated or damaged"):
        decode(process, data[:-30])
    assert still_works(process)


def test_decode_that_computes_for_ever_ends_at_its_processor_limit(process: DecoderProcess) -> None:
    with pytest.raises(PictureTooLarge, match="AGELENS_MAX_DECODE_S"):
        decode(process, grey(side=COMPUTES), max_s=0.05)
    assert still_works(process)


def test_decode_that_waits_for_ever_ends_when_its_caller_leaves(process: DecoderProcess) -> None:
    asked = iter(range(3))

    def leave() -> None:
        if next(asked) == 2:
            raise ClientDisconnected("gone")

    with pytest.raises(ClientDisconnected):
        decode(process, grey(side=WAITS), checkpoint=leave)
    assert still_works(process)


def test_decode_that_waits_for_ever_is_noticed_though_its_caller_stays(process: DecoderProcess) -> None:
    with pytest.raises(DeadlineExceeded, match="stopped responding"):
        decode(process, grey(side=WAITS))
    assert still_works(process)


def test_crash_of_a_decoder_costs_its_own_picture_only(process: DecoderProcess) -> None:
    with pytest.raises(CorruptPicture, match="crashed its decoder"):
        decode(process, grey(side=CRASHES))
    assert still_works(process)


def test_memory_beyond_the_price_is_refused_by_the_system(process: DecoderProcess) -> None:
    with pytest.raises(PictureTooLarge, match="more memory than its header"):
        decode(process, grey(side=GROWS))
    assert still_works(process)


def test_defect_of_a_decoder_is_not_taken_for_a_lack_of_memory(capfd: pytest.CaptureFixture[str]) -> None:
    process = DecoderLauncher(HANGING).decoder()
    try:
        with pytest.raises(RuntimeError, match="a decoder ended with status 1; standard error says why"):
            decode(process, grey(side=FAILS))
        assert "RuntimeError: this picture meets a defect of the decoder" in capfd.readouterr().err
        assert still_works(process)
    finally:
        process.close()


def test_hard_limit_of_memory_stays_and_a_lower_soft_one_holds() -> None:
    program = """
import resource
from service.runtime.decoder_child import limits
given = (3 * 2**30, 4 * 2**30)
resource.setrlimit(resource.RLIMIT_AS, given)
for more in (2**20, 2**40):
    with limits(5.0, more):
        print(*resource.getrlimit(resource.RLIMIT_AS))
    assert resource.getrlimit(resource.RLIMIT_AS) == given
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (small, hard), large = (line.split() for line in ended.stdout.splitlines())
    assert large == [str(3 * 2**30), hard] == [str(3 * 2**30), str(4 * 2**30)]
    assert int(small) < 3 * 2**30


def test_row_1a_is_stopped_even_where_its_price_was_not_asked(process: DecoderProcess) -> None:
    with pytest.raises(PictureTooLarge, match="AGELENS_MAX_DECODE_S"):
        decode(process, adversarial_jpeg.progressive_runs(400), max_s=0.3)


def test_decoder_leaves_by_itself_with_status_0_when_its_thread_is_done(launcher: DecoderLauncher) -> None:
    process = launcher.decoder()
    assert still_works(process)
    ended = os.pidfd_open(process.number)
    process.close()
    assert select.select([ended], [], [], 60)[0], "the process is still there after a minute"
    os.close(ended)
    _, next_one, status = launcher.exchange(process.number)
    next_one.close()
    assert status == 0


def test_end_of_the_whole_program_costs_no_further_picture() -> None:
    launcher = DecoderLauncher(HANGING)
    process = launcher.decoder()
    try:
        assert still_works(process)
        os.kill(launcher.number, signal.SIGKILL)
        assert still_works(process)
    finally:
        process.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_end_of_a_decoder_that_waits_costs_no_picture(process: DecoderProcess, number: signal.Signals) -> None:
    assert still_works(process)
    before = process.number
    end(process, number)
    assert still_works(process)
    assert process.number != before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("side", [30, 1000])  # sent whole; more than a socket holds, so its end is still to be sent
def test_end_of_a_decoder_before_it_has_read_the_picture_costs_no_picture(
    process: DecoderProcess, number: signal.Signals, side: int
) -> None:
    before = process.number
    os.kill(before, signal.SIGSTOP)

    def ends() -> None:
        if process.number == before:
            os.kill(before, number)
            os.kill(before, signal.SIGCONT)

    noise = encoded(np.random.default_rng(0).integers(256, size=(side, side, 3), dtype=np.uint8))
    picture = price(noise, 10**8)
    photo, _ = process.decode(picture, 10**8, None, 5.0, ends)
    assert np.array_equal(photo.pixels, decode_image(noise).pixels)
    assert process.number != before


def test_a_decoder_that_could_not_be_replaced_is_replaced_for_the_next_picture(
    launcher: DecoderLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = launcher.decoder()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(launcher, "exchange", lambda _: (_ for _ in ()).throw(SetupError("no process")))
            end(process)
            for _ in range(2):
                with pytest.raises(SetupError):
                    still_works(process)
        assert still_works(process)
    finally:
        process.close()


def test_a_decoder_that_hangs_is_noticed_though_it_is_a_new_one(
    process: DecoderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_process, "_ASLEEP_S", 0.3)
    end(process)
    with pytest.raises(DeadlineExceeded, match="stopped responding"):
        decode(process, grey(side=WAITS), checkpoint=Patience(30))


def test_signals_of_the_terminal_do_not_reach_the_program(launcher: DecoderLauncher) -> None:
    assert os.getsid(launcher.number) != os.getsid(0)


def test_program_that_does_not_start_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="did not start"):
        DecoderLauncher(("/bin/false",))


def test_picture_over_a_limit_is_refused_by_the_name_of_that_limit() -> None:
    picture = price(adversarial.flat_png(3000), 10**8)
    with pytest.raises(PictureTooLarge, match="AGELENS_MAX_DECODE_S"):
        DecodeLimits(picture.processor_s * 0.9, 10**9).admitted(picture)
    with pytest.raises(PictureTooLarge, match="AGELENS_MAX_DECODE_MB"):
        DecodeLimits(10, picture.memory_bytes - 1).admitted(picture)
    assert DecodeLimits(picture.processor_s, picture.memory_bytes).admitted(picture) is picture


def test_memory_is_given_in_the_order_of_asking_and_never_beyond_the_limit() -> None:
    budget = DecodeBudget(DecodeLimits(1, 100))
    first_in, first_may_go, second_in = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with budget.reserved(60, nobody_leaves):
            first_in.set()
            assert first_may_go.wait(60)

    def second() -> None:
        with budget.reserved(60, first_may_go.set):  # asked whether to go on while it waits: so it waits
            second_in.set()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert first_in.wait(60)
    threads[1].start()
    assert second_in.wait(60)
    assert first_may_go.is_set(), "the second did not wait for the first"
    for thread in threads:
        thread.join(60)
    with budget.reserved(100, nobody_waits):
        pass


def test_caller_that_leaves_while_it_waits_for_memory_leaves_no_trace() -> None:
    budget = DecodeBudget(DecodeLimits(1, 100))

    def leave() -> None:
        raise ClientDisconnected("gone")

    with budget.reserved(60, nobody_leaves):
        with pytest.raises(ClientDisconnected), budget.reserved(60, leave):
            pass
        with budget.reserved(40, nobody_waits):
            pass


def test_both_decodes_of_a_picture_share_one_allowance(launcher: DecoderLauncher) -> None:
    decoder = BudgetedDecoder(DecodeBudget(DecodeLimits(5.0, 10**9)), launcher.decoder())
    try:
        with decoder.open(adversarial_jpeg.stripes(1600, 1200, "JPEG"), 10**8, nobody_leaves) as decode_at:
            assert decode_at(300).pixels.shape == (300, 400, 3)
            assert decode_at(600).pixels.shape == (600, 800, 3)
        with pytest.raises(UnsupportedPicture), decoder.open(b"GIF89a", 10**8, nobody_leaves):
            pass
    finally:
        decoder.close()


def test_picture_comes_with_its_price_and_a_dear_one_of_many_scans_at_its_full_size(launcher: DecoderLauncher) -> None:
    decoder = BudgetedDecoder(DecodeBudget(DecodeLimits(5.0, 10**9)), launcher.decoder())
    dear, cheap = (adversarial_jpeg.progressive_empty_scans(scans, 2000) for scans in (100, 5))
    try:
        for data, scale in ((dear, 1.0), (cheap, 0.125)):
            with decoder.open(data, 10**8, nobody_leaves) as decode_at:
                photo = decode_at(100)
            assert photo.scale == scale
            assert photo.priced_s == price(data, 10**8).processor_s
    finally:
        decoder.close()
