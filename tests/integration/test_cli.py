"""The command line as a shell sees it: exit codes, and one line for each error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from service.cli import COMMANDS, exit_code
from service.commands.check import check
from service.core.asyncapi import READ_COMMITTED
from service.errors import BrokerUnavailable, ConfigurationError, TopicsError
from service.settings import Settings

SECRET = "Ab1" * 21 + "x"
ROOT = Path(__file__).parents[2]
GOOD = f"""
provider:
  url: https://api.example.com/kairos-apis/outbound/create
  security_id: {SECRET}
"""


def call_dispatcher(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, without the variables of who runs the tests."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DISPATCHER_")}
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_logs_of_a_service_load_no_rich_and_leave_it_to_others() -> None:
    """It would keep some MB in each replica, for tracebacks that are never shown."""
    code = (
        "import sys; from service.commands.run import _without\n"
        "with _without('rich'): import service.adapters.logs\n"
        "assert not [name for name in sys.modules if name.startswith('rich')]; import rich"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that is right."""
    file = tmp_path / "config.yaml"
    file.write_text(GOOD)
    return file


def test_check_prints_the_configuration_and_says_ok(config: Path) -> None:
    """Before a deployment an operator sees what the program will really use."""
    done = call_dispatcher("check", "--config", str(config), DISPATCHER_LOG__LEVEL="debug")
    assert (done.returncode, done.stderr) == (0, "")
    *printed, last = done.stdout.splitlines()
    assert last == "configuration ok"
    assert yaml.safe_load("\n".join(printed))["log"]["level"] == "debug"
    assert SECRET not in done.stdout


def test_check_lists_all_problems_on_standard_error(config: Path) -> None:
    """A wrong configuration ends with 2, which a deployment can tell from a failure."""
    config.write_text(GOOD + "  timeout_second: 3\nlog: {level: loud}\n")
    done = call_dispatcher("check", "--config", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"error: provider.timeout_second ({config}:5): unknown key")
    assert second.startswith(f"error: log.level ({config}:6): Input should be 'debug'")


def test_check_cautions_and_goes_on(config: Path) -> None:
    """A caution is not an error: the account may be a special one."""
    config.write_text(GOOD + "  profile: dialer\n")
    done = call_dispatcher("check", DISPATCHER_CONFIG=str(config))
    assert done.returncode == 0
    assert done.stderr.startswith("caution: provider.url: its path is")


@pytest.mark.parametrize(("faults", "ok"), [([], True), (["kafka: no answer"], False)])
def test_check_connects_only_if_asked(config: Path, faults: list[str], *, ok: bool) -> None:
    """`check` in CI needs no broker; before a deployment `--connect` finds what is closed."""
    asked: list[str] = []

    def connect_checks(settings: Settings) -> list[str]:
        asked.append(settings.provider.url)
        return faults

    runner = CliRunner()
    arguments = ["--config", str(config)]
    assert runner.invoke(check, arguments, obj=connect_checks).exit_code == 0
    assert asked == []
    done = runner.invoke(check, [*arguments, "--connect"], obj=connect_checks)
    assert asked == ["https://api.example.com/kairos-apis/outbound/create"]
    assert done.output.endswith("configuration ok\n") == ok
    assert [str(done.exception)] == (["None"] if ok else faults)


def test_help_lists_every_command_without_importing_any() -> None:
    """A newcomer's first look is quick, and shows all that there is."""
    done = call_dispatcher("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in done.stdout
    for module in ("pydantic", "aiokafka", "aiohttp", "yaml"):
        assert f" {module}\n" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["chek"], ["check", "--conf"], ["check", "extra"], ["schema", "results"], []]
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    """Scripts tell a typing mistake from a failure."""
    done = call_dispatcher(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["event", "result", "dead-letter", "configuration"])
def test_schemas_are_schemas(name: str) -> None:
    """What is printed can be given to a validator as it is."""
    done = call_dispatcher("schema", name)
    assert done.returncode == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(done.stdout))


def test_the_asyncapi_document_is_printed() -> None:
    """Other teams find topics, payloads and the isolation level in one document."""
    document = json.loads(call_dispatcher("schema", "asyncapi").stdout)
    assert document["asyncapi"] == "3.0.0"
    assert document["channels"]["results"]["address"] == "calls.results"
    assert READ_COMMITTED in document["channels"]["results"]["description"]


def test_all_documents_at_once() -> None:
    """Without an argument nobody has to know the names."""
    names = ["event", "result", "dead-letter", "configuration", "asyncapi"]
    assert list(json.loads(call_dispatcher("schema").stdout)) == names


def test_a_closed_pipe_is_no_error() -> None:
    """`call-dispatcher schema | head -1` must not print a traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "service", "schema", "configuration"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (BrokerUnavailable("Kafka did not answer"), 1, ["error: Kafka did not answer"]),
        (ConfigurationError("a: wrong\nb: wrong"), 2, ["error: a: wrong", "error: b: wrong"]),
        (
            ExceptionGroup(
                "tasks", [TopicsError("one"), ExceptionGroup("x", [TopicsError("two")])]
            ),
            1,
            ["error: one", "error: two"],
        ),
        (ExceptionGroup("tasks", [ConfigurationError("one")]), 2, ["error: one"]),
        (OSError(98, "Address already in use"), 1, ["error: [Errno 98] Address already in use"]),
        (click.UsageError("no such thing"), 2, ["Error: no such thing"]),
        (click.Abort(), 130, []),
        (KeyboardInterrupt(), 130, []),
        (click.exceptions.Exit(3), 3, []),
    ],
)
def test_every_error_has_its_line_and_code(
    error: BaseException, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Operators read lines, scripts read codes; neither reads tracebacks."""

    def failing() -> None:
        raise error

    assert exit_code(failing) == code
    assert capsys.readouterr().err.splitlines() == lines


def test_a_bug_is_one_line_without_its_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of an unforeseen error may hold a customer's number."""

    def failing() -> None:
        raise KeyError("919812345678")

    monkeypatch.delenv("DISPATCHER_DEBUG", raising=False)
    assert exit_code(failing) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a bug of the dispatcher: KeyError at ")
    assert "919812345678" not in line
    monkeypatch.setenv("DISPATCHER_DEBUG", "1")
    assert exit_code(failing) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_listed_exists(name: str) -> None:
    """A command in the list that cannot be called would be a lie to a newcomer."""
    done = call_dispatcher(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: call-dispatcher {name} ")
