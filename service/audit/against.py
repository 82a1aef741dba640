"""Compares what the topics say was called with what the provider's twin says.

Knows nothing of requests' places: a call is its flow and client-identifier, as it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import msgspec

from service.adapters.spill import database
from service.audit.report import Against
from service.core.audit import NAMES_MAX
from service.core.identifiers import identifier_of
from service.core.letters import source_of
from service.errors import ConfigurationError, DispatcherError

CALLS_AT_ONCE = 10_000
PAGE_SECONDS_MAX = 300.0
"""For the whole ledger of the twin."""
DOUBTFUL = frozenset({"duplicate", "unconfirmed"})
"""Reasons of dead letters whose call the provider may have."""


class _Call(msgspec.Struct, rename="kebab"):
    """What an event, a result and a line of the ledger have in common."""

    flow_id: str
    client_identifier: msgspec.Raw
    times: int = 1


_decode = msgspec.json.Decoder(_Call).decode


class Called:
    """Counts by call, on disk."""

    def __init__(self) -> None:
        self._database = database()
        self._database.execute(
            "CREATE TABLE calls (name TEXT PRIMARY KEY, results INT DEFAULT 0,"
            " doubtful INT DEFAULT 0, open INT DEFAULT 0, times INT DEFAULT 0) WITHOUT ROWID"
        )

    def results(self, records: Iterable[Any]) -> None:
        """Calls that the provider must have."""
        self._count("results", _calls(record.value for record in records))

    def dead_letters(self, records: Iterable[Any]) -> None:
        """Calls that it may have, if their fate is unknown."""
        values = (
            record.value
            for record in records
            if (found := source_of(record.headers)) is not None and found[1] in DOUBTFUL
        )
        self._count("doubtful", _calls(values))

    def open(self, records: Iterable[Any]) -> None:
        """Calls that may be under way."""
        self._count("open", _calls(record.value for record in records))

    def forget_open(self) -> None:
        """The requests are read anew."""
        self._database.execute("UPDATE calls SET open = 0 WHERE open > 0")

    def _count(self, column: str, calls: Iterable[tuple[str, int]]) -> None:
        # `column` is one of the words above, never anything that was read.
        self._database.execute("BEGIN")
        self._database.executemany(
            f"INSERT INTO calls (name, {column}) VALUES (?, ?)"  # noqa: S608 - see above
            f" ON CONFLICT (name) DO UPDATE SET {column} = {column} + excluded.{column}",
            calls,
        )
        self._database.execute("COMMIT")

    async def compare(self, ledger: str) -> Against:
        """Compare with the twin's ledger.

        Args:
            ledger: the address of the twin, or the file of its option --ledger.

        Raises:
            ConfigurationError: the file cannot be read.
            DispatcherError: the twin does not answer, or it is no ledger.
        """
        if ledger.startswith(("http://", "https://")):
            await self._from_twin(ledger)
        else:
            self._from_file(Path(ledger))
        (calls,) = self._database.execute("SELECT COUNT(*) FROM calls WHERE times > 0").fetchone()
        often = self._named("times > results + doubtful + open")
        missing = self._named("times < results")
        return Against(calls, *often, *missing)

    def _named(self, fault: str) -> tuple[int, list[str]]:
        query = f"FROM calls WHERE {fault}"
        (count,) = self._database.execute(f"SELECT COUNT(*) {query}").fetchone()
        rows = self._database.execute(
            f"SELECT name, times, results {query} ORDER BY name LIMIT {NAMES_MAX}"
        )
        return count, [
            f"{name}: the provider took it {times} times, results say {results}"
            for name, times, results in rows
        ]

    async def _from_twin(self, address: str) -> None:
        url = urljoin(address, "/twin/ledger/calls")
        timeout = aiohttp.ClientTimeout(total=PAGE_SECONDS_MAX)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, allow_redirects=False, raise_for_status=True) as answer,
            ):
                lines = list[bytes]()
                async for line in answer.content:
                    lines.append(line)
                    if len(lines) >= CALLS_AT_ONCE:
                        self._take(lines)
                        lines = []
                self._take(lines)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DispatcherError(f"the twin's ledger cannot be read at {url}: {error}") from error

    def _from_file(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                while lines := file.readlines(CALLS_AT_ONCE * 100):
                    self._take(lines)
        except OSError as error:
            raise ConfigurationError(f"--against: {path} cannot be read: {error}") from error

    def _take(self, lines: Iterable[bytes]) -> None:
        try:
            seen = [_decode(line) for line in lines if line.strip()]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DispatcherError(f"this is no ledger of the twin: {error}") from error
        self._count("times", ((_name(call), call.times) for call in seen))

    def close(self) -> None:
        """Give the disk back."""
        self._database.close()


def _calls(values: Iterable[bytes | None]) -> Iterator[tuple[str, int]]:
    """What is no call, or no longer there, is passed over."""
    for value in values:
        try:
            yield _name(_decode(value or b"")), 1
        except (ValueError, RecursionError):
            continue


def _name(call: _Call) -> str:
    identifier, _ = identifier_of(bytes(call.client_identifier))
    return f"{call.flow_id} {identifier.decode()}"
