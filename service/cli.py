"""The command line: arguments in, exit code out; every error becomes one clear line.

Knows nothing of what a command does. Commands are imported when they are called, so that
`--help` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from service.errors import ConfigurationError, DispatcherError

if TYPE_CHECKING:
    from service.settings import Settings

EXIT_FAILED = 1
EXIT_WRONG = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "run": ("service.commands.run:run", "Dispatch until stopped."),
        "check": ("service.commands.check:check", "Validate the configuration and print it."),
        "topics": ("service.commands.topics:topics", "Create what is missing in Kafka."),
        "demo": ("service.commands.demo:demo", "Everything on one machine, with a summary."),
        "publish": ("service.commands.publish:publish", "Publish events from JSON Lines."),
        "twin": ("service.commands.twin:twin", "The provider's twin, an HTTP server."),
        "status": ("service.commands.status:status", "What a running dispatcher is doing."),
        "holds": ("service.commands.holds:holds", "Stop and start sending."),
        "calls": ("service.commands.calls:calls", "Cancel calls that have not been sent."),
        "limit": ("service.commands.limit:limit", "Change the limit of running replicas."),
        "dead-letters": (
            "service.commands.dead_letters:dead_letters",
            "Find events that failed, send them again.",
        ),
        "audit": ("service.commands.audit:audit", "Prove one outcome per event."),
        "schema": ("service.commands.schema:schema", "JSON Schemas and the AsyncAPI document."),
    }
)
"""Name to where the command is, and what the list of commands says of it."""

CONNECT_CHECKS = "service.app:connect_checks"
"""Settings to lines: what `check --connect` asks of the world."""


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _connect_checks(settings: Settings) -> Sequence[str]:
    found: Sequence[str] = _load(CONNECT_CHECKS)(settings)
    return found


class LazyGroup(click.Group):
    """Lists its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = _load(COMMANDS[cmd_name][0])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The list under `Commands:`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="call-dispatcher")
def cli() -> None:
    """Call events in from Kafka, batches out to the provider, one outcome for each event."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 done, 1 failed, 2 wrong usage or configuration."""
    arguments = list(sys.argv[1:] if argv is None else argv)

    def command() -> None:
        with cli.make_context("call-dispatcher", arguments, obj=_connect_checks) as ctx:
            cli.invoke(ctx)
        sys.stdout.flush()

    return exit_code(command)


def exit_code(command: Callable[[], None]) -> int:
    """Run `command`; whatever it raises becomes lines on standard error and an exit code."""
    try:
        command()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # What reads our output has seen enough; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the last place where an error can become a line
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    if os.environ.get("DISPATCHER_DEBUG"):
        traceback.print_exception(error)
    code = EXIT_FAILED
    for each in _leaves(error):
        click.echo(_line(each), err=True)
        if isinstance(each, ConfigurationError):
            code = EXIT_WRONG
    return code


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside an error: a task group wraps what its tasks raised."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _line(error: BaseException) -> str:
    if isinstance(error, DispatcherError):
        return "\n".join(f"error: {line}" for line in str(error).splitlines())
    if isinstance(error, OSError):
        return f"error: {error}"
    # The text of an unforeseen error may hold a phone number or a secret.
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if f"{os.sep}service{os.sep}" in each.filename] or frames
    where = f" at {ours[-1].filename}:{ours[-1].lineno}" if ours else ""
    return (
        f"error: a bug of the dispatcher: {type(error).__name__}{where} "
        "(DISPATCHER_DEBUG=1 shows the traceback)"
    )
