"""The shared window's laws, on a real Redis; and the simulator's model gives the same answers."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.adapters.redis import RedisWindow
from service.core.rate import MARGIN_SECONDS, STEPS_PER_SECOND
from service.core.shared import CALL_SECONDS_MAX, Ended, Heard, Join, Place, Said
from service.errors import WindowUnavailable
from tests.simulation.shared import SharedModel
from tests.support.redis import RedisServer, redis_server

WINDOW_SECONDS = 0.5
REGISTERED_SECONDS = 0.4
STAY_SECONDS = 1.0
FOR_EVER_MS = 10**14
LATE_SECONDS = MARGIN_SECONDS + 2 / STEPS_PER_SECOND

SAID = Said(
    lane=0,
    lanes=2,
    calls_max=100,
    requests_max=100,
    stay_seconds=STAY_SECONDS,
    own_calls=0,
    own_requests=0,
    burst_calls=1_000,
    join_until=FOR_EVER_MS,
)
JOIN = replace(SAID, join=Join.YES)


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    """A Redis that is this test's alone."""
    async with redis_server() as server:
        yield server


@pytest.fixture
async def window(server: RedisServer) -> AsyncIterator[RedisWindow]:
    """A window with short times."""
    window = RedisWindow(server.url, "test", WINDOW_SECONDS, REGISTERED_SECONDS)
    yield window
    await window.close()


async def opened(window: RedisWindow) -> Heard:
    """Wait until the window is no longer new."""
    heard = await window.exchange(SAID)
    await asyncio.sleep(heard.wait_seconds)
    return await window.exchange(SAID)


async def granted(window: RedisWindow, said: Said) -> Place:
    """The place of a grant that must come as soon as an even pace allows it."""
    heard = await window.exchange(said)
    if heard.place is None:
        assert heard.wait_seconds <= WINDOW_SECONDS / said.requests_max + 0.05
        await asyncio.sleep(heard.wait_seconds)
        heard = await window.exchange(said)
    assert heard.place is not None
    return heard.place


async def test_a_new_window_is_full_until_what_it_does_not_know_has_passed(
    window: RedisWindow,
) -> None:
    """After a loss of data lanes would send a minute's calls a second time."""
    heard = await window.exchange(replace(SAID, calls=1))
    assert heard.closed
    assert heard.place is None
    assert heard.wait_seconds == pytest.approx(REGISTERED_SECONDS + STAY_SECONDS, abs=0.05)
    await asyncio.sleep(heard.wait_seconds)
    await granted(window, replace(SAID, calls=1))


async def test_flushall_makes_the_window_new(window: RedisWindow, server: RedisServer) -> None:
    """An operator's FLUSHALL would open the limit a second time."""
    assert not (await opened(window)).closed
    await server.flush()
    assert (await window.exchange(replace(SAID, calls=1))).closed


async def test_a_server_that_comes_back_is_not_believed(
    window: RedisWindow, server: RedisServer
) -> None:
    """What it saved some minutes ago says nothing of what was granted since."""
    await opened(window)
    await server.save()
    await server.kill()
    with pytest.raises(WindowUnavailable):
        await window.exchange(SAID)
    await server.start()
    heard = await window.exchange(replace(SAID, calls=1))
    assert heard.closed


async def test_an_end_that_is_not_reported_counts_until_it_must_have_come(
    window: RedisWindow,
) -> None:
    """A lane that was killed would free its calls before they have arrived."""
    await opened(window)
    await granted(window, replace(SAID, calls=30))
    await asyncio.sleep(STAY_SECONDS - 0.2)
    assert (await window.exchange(SAID)).calls == 30
    await asyncio.sleep(0.2 + LATE_SECONDS)
    assert (await window.exchange(SAID)).calls == 0


async def test_a_reported_end_counts_a_window_from_then(window: RedisWindow) -> None:
    """Freed earlier, a minute at the provider would be above the limit; later, below it."""
    await opened(window)
    place = await granted(window, replace(SAID, calls=30, stay_seconds=60.0))
    await window.exchange(replace(SAID, ended=(Ended(place, 0.2),)))
    await asyncio.sleep(WINDOW_SECONDS - 0.25)
    assert (await window.exchange(SAID)).calls == 30
    await asyncio.sleep(LATE_SECONDS)
    assert (await window.exchange(SAID)).requests == 0


async def test_a_grant_that_is_given_back_counts_no_more(window: RedisWindow) -> None:
    """A batch that was cancelled while it waited would cost its calls."""
    await opened(window)
    place = await granted(window, replace(SAID, calls=30))
    assert (await window.exchange(replace(SAID, ended=(Ended(place, None),)))).requests == 0


async def test_beyond_its_share_a_lane_goes_only_while_all_are_registered(
    window: RedisWindow,
) -> None:
    """A lane that cannot reach Redis goes by its share: the others must leave it that."""
    await opened(window)
    beyond = replace(JOIN, own_calls=40, own_requests=1, calls=11)
    assert (await window.exchange(beyond)).place is None
    assert (await window.exchange(replace(JOIN, lane=1))).all_registered
    await granted(window, beyond)
    await asyncio.sleep(REGISTERED_SECONDS)
    heard = await window.exchange(beyond)
    assert not heard.all_registered
    assert heard.place is None
    await granted(window, replace(beyond, calls=10))


async def test_a_registration_given_up_long_ago_is_not_made(window: RedisWindow) -> None:
    """A server that hung would register a lane that has gone on without it since."""
    heard = await window.exchange(SAID)
    assert not (await window.exchange(replace(JOIN, join_until=heard.now - 1))).registered
    assert (await window.exchange(replace(JOIN, join_until=heard.now + 9_000))).registered


async def test_a_new_owner_is_registered_at_once_only_if_the_lane_just_was(
    window: RedisWindow,
) -> None:
    """What an earlier owner sent without Redis is in no window, so the others must wait for it."""
    known = replace(SAID, join=Join.IF_KNOWN, known_seconds=0.5)
    assert not (await window.exchange(known)).registered
    assert (await window.exchange(JOIN)).registered
    assert (await window.exchange(known)).registered
    await asyncio.sleep(REGISTERED_SECONDS + 0.6)
    assert not (await window.exchange(known)).registered


async def test_who_is_within_its_share_goes_first(window: RedisWindow) -> None:
    """A busy lane with small batches would take whatever becomes free, for ever."""
    await opened(window)
    for lane in (0, 1):
        await window.exchange(replace(JOIN, lane=lane))
    busy = replace(JOIN, own_calls=90, own_requests=9)
    place = await granted(window, replace(busy, calls=80))
    await granted(window, replace(busy, calls=15))
    assert (await window.exchange(replace(JOIN, lane=1, calls=50))).place is None
    back = (Ended(place, None),)
    heard = await window.exchange(replace(busy, calls=40, ended=back))
    assert heard.place is None
    await granted(window, replace(JOIN, lane=1, calls=50))


async def test_lanes_together_keep_an_even_pace(window: RedisWindow) -> None:
    """Each would send its part of a minute in a burst, and small flows would wait for the next."""
    await opened(window)
    even = replace(JOIN, calls=30, burst_calls=30)
    await granted(window, even)
    await granted(window, replace(even, lane=1))
    heard = await window.exchange(even)
    assert heard.place is None
    assert 0 < heard.wait_seconds <= 0.3 * (WINDOW_SECONDS + MARGIN_SECONDS)


async def test_a_pause_is_for_all_lanes(window: RedisWindow) -> None:
    """The provider that asked one lane to wait would be asked by the next."""
    await opened(window)
    await window.exchange(replace(JOIN, rest_seconds=0.4))
    heard = await window.exchange(replace(JOIN, lane=1, calls=1))
    assert heard.place is None
    await asyncio.sleep(heard.wait_seconds)
    await granted(window, replace(JOIN, lane=1, calls=1))


async def test_requests_are_limited_too_and_a_larger_batch_goes_alone(
    window: RedisWindow,
) -> None:
    """Many small batches would exceed the requests; one above the limit would wait for ever."""
    await opened(window)
    one = replace(SAID, lanes=1, requests_max=2)
    place = await granted(window, replace(one, calls=101))
    assert (await window.exchange(replace(one, calls=1))).place is None
    await window.exchange(replace(SAID, ended=(Ended(place, None),)))
    for _ in range(2):
        await granted(window, replace(one, calls=1))
    heard = await window.exchange(replace(one, calls=1))
    assert heard.place is None
    assert heard.requests == 2


async def test_a_server_that_hangs_is_given_up_in_time(
    window: RedisWindow, server: RedisServer
) -> None:
    """Sends and heartbeats of the whole process would wait for a cache."""
    await window.exchange(SAID)
    server.signal(signal.SIGSTOP)
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(WindowUnavailable):
        await window.exchange(SAID)
    assert loop.time() - before < CALL_SECONDS_MAX + 0.3
    server.signal(signal.SIGCONT)
    await asyncio.sleep(0.2)
    # Not the answer to what was given up.
    went_on = time.time() - 0.1
    assert (await window.exchange(SAID)).now >= went_on * 1000


async def test_the_key_expires(window: RedisWindow, server: RedisServer) -> None:
    """A dispatcher that is no more would leave its window in Redis for ever."""
    await window.exchange(SAID)
    async with server.client() as client:
        assert 0 < await client.pttl("test") <= 86_400_000


@pytest.mark.parametrize("seed", range(2))
async def test_the_model_answers_as_the_script_does(window: RedisWindow, seed: int) -> None:
    """A simulator with other rules than the script's would prove nothing."""
    rng, model = random.Random(seed), SharedModel(WINDOW_SECONDS, REGISTERED_SECONDS)
    places: list[Place] = []
    for number in range(250):
        said = _drawn(rng, places)
        heard = await window.exchange(said)
        assert model.exchange(said, heard.now) == heard, (number, said)
        if heard.place is not None:
            places.append(heard.place)
        await asyncio.sleep(rng.choice((0, 0, 0.01, 0.03, 0.1)) * rng.random())


def _drawn(rng: random.Random, places: list[Place]) -> Said:
    ended = []
    while places and rng.random() < 0.4:
        place = places.pop(rng.randrange(len(places)))
        ended.append(Ended(place, rng.choice((None, rng.random() * 0.4))))
    return replace(
        SAID,
        lane=rng.randrange(2),
        requests_max=rng.choice((6, 100)),
        stay_seconds=rng.choice((0.3, 1.0)),
        own_calls=rng.choice((0, 30, 60)),
        own_requests=rng.choice((0, 1, 3)),
        calls=rng.choice((0, 1, 20, 40, 101)),
        join=rng.choice(tuple(Join)),
        join_until=rng.choice((0, FOR_EVER_MS)),
        known_seconds=0.2,
        rest_seconds=0.1 if rng.random() < 0.03 else 0.0,
        burst_calls=rng.choice((1, 50, 1_000)),
        ended=tuple(ended),
    )
