"""The provider's adapter over real TCP: what came back, what may have arrived, what never left."""

from __future__ import annotations

import asyncio

import pytest

from service.adapters.provider import HttpProvider
from service.core.verdicts import NoAnswer, NotSent, Response
from tests.contracts.provider_servers import always, read_request, served

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}"


async def test_the_exact_bytes_go_out_once_and_the_answer_comes_back() -> None:
    """The provider's checksum is over these bytes; a copy that differs would be a second call."""
    seen: list[tuple[str, bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            writer.write(OK)
            await writer.drain()

    body = b'{"calls": []} \t\xe2\x82\xac'
    async with served(handler) as provider:
        assert await provider.post(body, always) == Response(200, b"{}", "7")
        assert await provider.post(body, always) == Response(200, b"{}", "7")
    assert [received for _, received in seen] == [body, body]
    head = seen[0][0].lower()
    assert head.startswith("post /path http/1.1")
    assert "content-type: application/json" in head


async def test_nothing_listening_means_that_nothing_was_sent() -> None:
    """Only what provably never left may go again freely."""
    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    provider = HttpProvider(f"http://127.0.0.1:{port}/", 5.0, "test")
    assert isinstance(await provider.post(b"{}", always), NotSent)
    await provider.close()


async def test_a_name_that_does_not_resolve_means_that_nothing_was_sent() -> None:
    """A typing error in the URL must cost nothing but time."""
    provider = HttpProvider("http://no-such-host.invalid/", 5.0, "test")
    assert isinstance(await provider.post(b"{}", always), NotSent)
    await provider.close()


async def test_a_lease_that_ran_out_while_connecting_stops_the_first_byte() -> None:
    """Its successor may be sending the same batch by now."""
    received: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        received.append(await reader.read())

    async with served(handler) as provider:
        assert isinstance(await provider.post(b"{}", lambda: False), NotSent)
    assert not any(received)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("body_bytes", [256_000, 16_000_000])
async def test_a_post_that_is_given_up_is_aborted_on_the_wire(body_bytes: int) -> None:
    """The rest would be delivered later, after a successor has sent the batch again.

    The kernel takes the small body whole; of the large one the program itself holds the rest, as
    it does of every body while a connection is young and far away.
    """
    received = 0
    ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal received
        # It reads slowly, so most of the body still waits on the client's side.
        try:
            while chunk := await reader.read(1024):
                received += len(chunk)
                if received < 4096:
                    continue
                await given_up.wait()
            ended.set_result(None)
        except ConnectionError as error:
            ended.set_result(error)

    given_up = asyncio.Event()
    body = b"x" * body_bytes
    async with served(handler, timeout_seconds=0.3) as provider:
        answer = await provider.post(body, always)
        assert answer == NoAnswer("timeout")
        given_up.set()
        async with asyncio.timeout(5):
            error = await ended
    assert isinstance(error, ConnectionResetError)
    assert received < len(body) // 2


async def test_a_cancelled_post_is_aborted_on_the_wire() -> None:
    """A fenced lane must not leave a request behind that is delivered later."""
    reset: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        try:
            await reader.read()
            reset.set_result(False)
        except ConnectionResetError:
            reset.set_result(True)

    async with served(handler) as provider:
        post = asyncio.create_task(provider.post(b"{}", always))
        await arrived.wait()
        post.cancel()
        async with asyncio.timeout(5):
            assert await reset
        with pytest.raises(asyncio.CancelledError):
            await post


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"garbage\r\n\r\n"])
async def test_a_connection_that_ends_without_an_answer_is_in_doubt(answer: bytes) -> None:
    """The request may have been placed: it must never count as not sent."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with served(handler) as provider:
        assert isinstance(await provider.post(b"{}", always), NoAnswer)


async def test_an_answer_that_breaks_off_is_marked() -> None:
    """Half of a list of calls must not be believed."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    async with served(handler) as provider:
        assert await provider.post(b"{}", always) == Response(200, b"half", None, truncated=True)


async def test_a_redirect_is_not_followed() -> None:
    """The body holds the security-id: it goes to the configured host or nowhere."""
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(b"HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with served(handler) as provider:
        assert await provider.post(b"{}", always) == Response(307, b"")
    assert requests == 1


async def test_a_slow_drip_ends_at_the_time_limit() -> None:
    """A byte a second must not hold a sender slot for ever."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with served(handler, timeout_seconds=0.4) as provider:
        assert await provider.post(b"{}", always) == NoAnswer("timeout")
