"""`call-dispatcher status`: what `/status` of a running dispatcher says, for people.

Knows nothing of a dispatcher's inside: it reads the public JSON, as anybody could.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from service.commands.options import config_option, load_settings
from service.commands.tables import Section, show
from service.errors import ConfigurationError, DispatcherError

if TYPE_CHECKING:
    from service.settings.sections import HttpSettings

SECONDS_MAX = 5.0
"""The answer comes from memory; a process that takes longer is stuck."""
ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""Thousands of lanes fit; anything larger is not a dispatcher."""
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
LANE_COUNTS = ("turn", "open-batches", "waiting-calls", "in-flight")
"""Members of a lane that are shown as they are."""
STANDINGS = {
    "even": "on an even share: a lane is not registered in Redis",
    "alone": "on an even share: Redis is away",
    "silent": "sends nothing: Redis is away, or has lost its data",
}


@click.command()
@config_option
@click.option("--url", help="Where the dispatcher listens; without it http.host and http.port.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as it came.")
def status(config_path: Path | None, url: str | None, *, as_json: bool) -> None:
    """Show what a running dispatcher is doing."""
    base = _base(load_settings(config_path).http) if url is None else _checked(url)
    text = asyncio.run(_fetch(base.removesuffix("/").removesuffix("/status") + "/status"))
    if as_json:
        click.echo(text.rstrip("\n"))
        return
    try:
        sections = _sections(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DispatcherError(
            f"what answers at {base} is no call-dispatcher of this version"
        ) from error
    show(sections)


def _base(http: HttpSettings) -> str:
    if http.port == 0:
        raise ConfigurationError("http.port is 0, so the system chose one: give its --url")
    host = ANY_ADDRESS.get(http.host, http.host)
    return f"http://[{host}]:{http.port}" if ":" in host else f"http://{host}:{http.port}"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(f"--url {url}: write it like http://127.0.0.1:8080")
    return url


async def _fetch(url: str) -> str:
    # Imported here: `--help` needs no client.
    import aiohttp  # noqa: PLC0415

    timeout = aiohttp.ClientTimeout(total=SECONDS_MAX)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            answer = await _bounded(response.content)
    except (aiohttp.ClientError, OSError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else "no connection"
        raise DispatcherError(
            f"no dispatcher answers at {url} ({why}): is `call-dispatcher run` running, "
            "with the same http section?"
        ) from error
    if response.status != 200:  # noqa: PLR2004 - HTTP's OK
        raise DispatcherError(f"{url} answers HTTP {response.status}: it is no call-dispatcher")
    return answer.decode("utf-8", "replace")


async def _bounded(content: Any) -> bytes:
    parts, size = list[bytes](), 0
    async for part in content.iter_chunked(65_536):
        parts.append(part)
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            break
    return b"".join(parts)


def _sections(answer: dict[str, Any]) -> list[Section]:
    lanes = answer["lanes"]
    found = [_process(answer), _lanes(lanes), _holds(lanes), _partitions(lanes), _flows(lanes)]
    return [section for section in found if section.rows]


def _process(answer: dict[str, Any]) -> Section:
    rows = [
        ("state", _state(answer)),
        ("version", answer["version"]),
        ("group", answer["group-id"]),
        ("owner", answer["owner"]),
        ("provider", f"{answer['profile']} at {answer['url-host']}"),
        ("limit scope", answer["limit-scope"]),
    ]
    if answer["error"] is not None:
        rows.append(("error", answer["error"]))
    return Section("dispatcher", ("what", "value"), [(name, str(value)) for name, value in rows])


def _state(answer: dict[str, Any]) -> str:
    if answer["draining"]:
        return "draining"
    if not answer["ready"]:
        return "not ready"
    return "standby" if answer["standby"] else "working"


def _lanes(lanes: Sequence[dict[str, Any]]) -> Section:
    header = (
        "lane",
        "state",
        "turn",
        "open",
        "waiting",
        "in flight",
        "limit used",
        "oldest",
        "note",
    )
    rows = [
        (
            str(lane["lane"]),
            lane["state"],
            *(f"{lane[name]:,}" for name in LANE_COUNTS),
            f"{lane['calls-in-window']:,}/{lane['calls-per-minute']:,}",
            _seconds(lane["oldest-event-age-seconds"]),
            _notes(lane),
        )
        for lane in lanes
    ]
    return Section("lanes", header, rows)


def _notes(lane: dict[str, Any]) -> str:
    notes = []
    if lane["recovering-batches"]:
        notes.append(f"recovering {lane['recovering-batches']} batches")
    if lane["paused-seconds"]:
        notes.append(f"paused for {_seconds(lane['paused-seconds'])}")
    if lane.get("pause"):
        notes.append(lane["pause"])
    if lane["standing"] in {"even", "alone", "silent"}:
        notes.append(STANDINGS[lane["standing"]])
    if lane["minutes-until-drained"]:
        notes.append(f"drained in {_seconds(60 * lane['minutes-until-drained'])}")
    return ", ".join(notes)


def _holds(lanes: Sequence[dict[str, Any]]) -> Section:
    header = ("lane", "scope", "name", "code", "since", "next probe", "reason")
    rows = [
        (
            str(lane["lane"]),
            hold["scope"],
            hold["name"],
            _text(hold["code"]),
            hold["since"],
            _seconds(hold["next-probe-seconds"]),
            hold["reason"],
        )
        for lane in lanes
        for hold in lane["holds"]
    ]
    return Section("holds", header, rows)


def _partitions(lanes: Sequence[dict[str, Any]]) -> Section:
    header = ("lane", "topic", "partition", "position", "end", "lag")
    rows = [
        (
            str(lane["lane"]),
            each["topic"],
            *(_text(each[name]) for name in ("partition", "position", "end", "lag")),
        )
        for lane in lanes
        for each in lane["partitions"]
    ]
    return Section("partitions", header, rows)


def _flows(lanes: Sequence[dict[str, Any]]) -> Section:
    rows = [
        (str(lane["lane"]), flow["flow-id"], f"{flow['waiting-calls']:,}")
        for lane in lanes
        for flow in lane["flows"]
    ]
    return Section("flows that wait", ("lane", "flow", "calls"), rows)


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} s" if value < 60 else f"{value / 60:,.1f} min"  # noqa: PLR2004 - a minute
