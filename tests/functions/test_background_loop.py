"""Coroutines run for any thread, within a limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from keepline.domain.errors import Unavailable
from keepline_functions.loop import BackgroundLoop


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.stop()


def test_results_and_errors_reach_the_caller(loop: BackgroundLoop) -> None:
    async def answer(value: int) -> int:
        await asyncio.sleep(0)
        return 10 // value

    assert loop.run(answer(2), 5) == 5
    with pytest.raises(ZeroDivisionError):
        loop.run(answer(0), 5)


def test_what_takes_too_long_is_cancelled(loop: BackgroundLoop) -> None:
    cancelled = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(Unavailable) as caught:
        loop.run(endless(), 0.02)
    assert caught.value.code == "timed_out"
    assert cancelled.wait(5)


def test_many_threads_wait_at_the_same_time(loop: BackgroundLoop) -> None:
    everybody = 16
    met = asyncio.Barrier(everybody)

    async def meet() -> None:
        await met.wait()

    threads = [threading.Thread(target=loop.run, args=(meet(), 5.0)) for _ in range(everybody)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
