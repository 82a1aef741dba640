"""Sends every log line of the process, our own and the libraries', through one chain.

Knows nothing of facts. Lines go to standard error: standard output belongs to what a command was
asked for, and a pipe that closes there must not take the log with it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import structlog
from pydantic import BaseModel, SecretStr
from structlog.types import EventDict, Processor, WrappedLogger

from service.adapters.logs.redaction import Redactor
from service.settings import Settings

QUIET = ("aiokafka", "aiohttp", "asyncio", "urllib3")
"""Libraries that tell of every heartbeat and request at `info`; their warnings matter."""


class SafeHandler(logging.StreamHandler[TextIO]):
    """Says which logger failed to log, where the standard handler would print the arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A line that could not be made holds nothing that anybody should see."""
        try:
            self.stream.write(f'{{"event": "log_line_failed", "logger": "{record.name}"}}\n')
        except (OSError, ValueError):
            # Standard error is closed: nobody is left to tell.
            return


def configure_logs(settings: Settings, stream: TextIO | None = None) -> None:
    """Make the root logger write to `stream`, else to standard error."""
    target = sys.stderr if stream is None else stream
    handler = SafeHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=_processors(settings, colours=target.isatty()),
            foreign_pre_chain=[_as_library_message],
        )
    )
    level = logging.getLevelNamesMapping()[settings.log.level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    if level > logging.DEBUG:
        # Whatever matters of it comes back as an error of ours, in a line of its own.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def secrets_of(settings: BaseModel) -> Iterator[str]:
    """Every secret of a configuration."""
    return _secrets_in(settings.model_dump())


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _secrets_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _secrets_in(each)


def _processors(settings: Settings, *, colours: bool) -> list[Processor]:
    redactor = Redactor(secrets_of(settings))

    def redact(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
        return {name: redactor.value(value) for name, value in event_dict.items()}

    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        # After whatever makes text, before the renderer, which only writes down what it is given.
        redact,
        _renderer(settings, colours=colours),
    ]


def _renderer(settings: Settings, *, colours: bool) -> Processor:
    if settings.log.format == "console":
        plain = structlog.dev.plain_traceback
        return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)
    return _json_line


def _json_line(logger: WrappedLogger, name: str, event_dict: EventDict) -> str | bytes:
    """Time, level and event first, where a reader of raw lines looks."""
    first = {key: event_dict.pop(key) for key in ("timestamp", "level", "event")}
    return structlog.processors.JSONRenderer()(logger, name, {**first, **event_dict})


def _as_library_message(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """A library's line is its own words, so they are not the event's name."""
    record: logging.LogRecord = event_dict["_record"]
    message = event_dict["event"]
    return {**event_dict, "event": "library_message", "logger": record.name, "message": message}
