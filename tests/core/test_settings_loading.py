"""Loading the configuration: file and environment, and every mistake with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import ConfigurationError
from service.settings import Settings
from service.settings.loading import load_settings

SECRET = "Ab1" * 21 + "x"
URL = "https://api.example.com/kairos-apis/outbound/create"
NEEDED = {"DISPATCHER_PROVIDER__URL": URL, "DISPATCHER_PROVIDER__SECURITY_ID": SECRET}

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load this text as a file, with these variables over what is required."""

    def loaded(text: str | bytes = "", **variables: str) -> Settings:
        file = tmp_path / "config.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_settings(file, {**NEEDED, "PATH": "/bin", **variables})

    return loaded


@pytest.fixture
def refusal(load: Load, tmp_path: Path) -> Callable[..., list[str]]:
    """The lines of the refusal of the same, with the file's folder left out."""

    def lines(text: str | bytes = "", **variables: str) -> list[str]:
        with pytest.raises(ConfigurationError) as refused:
            load(text, **variables)
        assert SECRET not in str(refused.value)
        return str(refused.value).replace(f"{tmp_path}/", "").splitlines()

    return lines


def test_the_environment_alone_is_enough() -> None:
    """A container without a file must start."""
    settings = load_settings(None, NEEDED)
    assert type(settings) is Settings
    assert settings.provider.url == URL


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    """DISPATCHER_CONFIG names the file, and `--config` wins over it."""
    for name, group in (("one", "a"), ("two", "b")):
        (tmp_path / name).write_text(f"kafka: {{group_id: {group}}}")
    environ = {**NEEDED, "DISPATCHER_CONFIG": str(tmp_path / "one"), "DISPATCHER_DEBUG": "1"}
    assert load_settings(None, environ).kafka.group_id == "a"
    assert load_settings(tmp_path / "two", environ).kafka.group_id == "b"


def test_the_environment_wins_field_by_field(load: Load) -> None:
    """An override of one field must not reset its neighbours to their defaults."""
    settings = load(
        "kafka: {group_id: file, topics: {requests: r, results: s}}",
        DISPATCHER_KAFKA__GROUP_ID="env",
        DISPATCHER_KAFKA__TOPICS__REQUESTS="t",
    )
    assert settings.kafka.group_id == "env"
    assert settings.kafka.topics.requests == "t"
    assert settings.kafka.topics.results == "s"


def test_flow_ids_keep_their_case(load: Load) -> None:
    """AbCd1234 and abcd1234 are two flows; one must not get the other's settings."""
    settings = load(
        "flows: {AbCd1234: {linger_seconds: 0.2}}",
        DISPATCHER_FLOWS__AbCd1234__PRIORITY="3",
        DISPATCHER_FLOWS__abcd1234__PRIORITY="4",
    )
    assert settings.flow("AbCd1234").priority == 3
    assert settings.flow("AbCd1234").linger_seconds == 0.2
    assert settings.flow("abcd1234").priority == 4


@pytest.mark.parametrize("text", ['["%s", "%s"]', "%s,%s", " %s , %s "])
def test_lists_in_variables(load: Load, text: str) -> None:
    """A rotation by environment needs a list there."""
    ids = ("a" * 64, "b" * 64)
    settings = load(DISPATCHER_PROVIDER__PREVIOUS_SECURITY_IDS=text % ids)
    assert settings.previous_security_ids == ids


def test_null_in_variables(load: Load) -> None:
    """An empty variable, as compose files make them, must not become a password or a limit."""
    settings = load(
        "provider: {calls_per_minute: 6000}\nhttp: {token: 0123456789abcdef}",
        DISPATCHER_PROVIDER__CALLS_PER_MINUTE="null",
        DISPATCHER_HTTP__TOKEN="",
    )
    assert settings.provider.calls_per_minute == 30_000
    assert settings.http.token is None


def test_yaml_guesses_change_nothing(load: Load) -> None:
    """YAML reads 1e234567 as infinity, 0123 as octal and 09:00 in sexagesimal; none is meant."""
    settings = load(
        "flows:\n  1e234567: {priority: 2}\n  12345678: {calling_hours: 09:00-21:00}\n"
        "  00000001: {dummy_number: 09812345678}\n"
        "provider: {api_version: 1.0}\nkafka: {group_id: 0123, topics: {results: yes}}\n"
    )
    assert set(settings.flows) == {"1e234567", "12345678", "00000001"}
    assert settings.flow("12345678").calling_hours == ("09:00-21:00",)
    assert settings.flow("00000001").dummy_number == "09812345678"
    assert settings.provider.api_version == "1.0"
    assert (settings.kafka.group_id, settings.kafka.topics.results) == ("0123", "yes")


def test_a_security_id_of_digits_stays_itself(load: Load) -> None:
    """As a number it would lose its leading zeros."""
    digits = "0" * 10 + "1234567890" * 5 + "1234"
    settings = load(f"flows: {{AbCd1234: {{security_id: {digits}}}}}")
    assert settings.security_id_of("AbCd1234") == digits


def test_booleans_numbers_and_anchors(load: Load) -> None:
    """Text is typed by its field, and YAML's anchors spare repeating a flow."""
    settings = load(
        "kafka: {create_topics: yes}\nshutdown: {drain_seconds: 1_0}\n"
        "flows:\n  AAAAAAAA: &shared {priority: 2}\n  BBBBBBBB: *shared\n"
    )
    assert settings.kafka.create_topics is True
    assert settings.shutdown.drain_seconds == 10
    assert settings.flow("BBBBBBBB").priority == 2


def test_an_empty_file_is_no_mistake(load: Load) -> None:
    """All commented out, with the environment giving what is required."""
    for text in ("", "# nothing\n", "null", "kafka:\n"):
        assert load(text).provider.url == URL


UNKNOWN_IN_FILE = [
    ("kafkaa: {}", "kafkaa (config.yaml:1): unknown key; the nearest known one is kafka"),
    (
        "\nkafka:\n  bootstrap_server: x",
        (
            "kafka.bootstrap_server (config.yaml:3): unknown key; "
            "the nearest known one is kafka.bootstrap_servers"
        ),
    ),
    (
        "flows: {AbCd1234: {linger: 1}}",
        (
            "flows.AbCd1234.linger (config.yaml:1): unknown key; "
            "the nearest known one is flows.AbCd1234.linger_seconds"
        ),
    ),
    (
        f"provider: {{security_idd: {SECRET}}}",
        (
            "provider.security_idd (config.yaml:1): unknown key; "
            "the nearest known one is provider.security_id"
        ),
    ),
]


@pytest.mark.parametrize(("text", "line"), UNKNOWN_IN_FILE)
def test_unknown_keys_in_the_file(refusal: Callable[..., list[str]], text: str, line: str) -> None:
    """A misspelt limit that is passed over would break the limit."""
    assert refusal(text) == [line]


UNKNOWN_IN_ENVIRONMENT = [
    (
        "DISPATCHER_KAFKA__GROUPID",
        (
            "kafka.groupid (DISPATCHER_KAFKA__GROUPID): unknown key; "
            "the nearest known one is kafka.group_id"
        ),
    ),
    (
        "DISPATCHER_FLOWS__AbCd1234__PRIO",
        (
            "flows.AbCd1234.prio (DISPATCHER_FLOWS__AbCd1234__PRIO): unknown key; "
            "the nearest known one is flows.AbCd1234.priority"
        ),
    ),
    (
        "DISPATCHER_KAFKA",
        "kafka (DISPATCHER_KAFKA): is a section: set DISPATCHER_KAFKA__<FIELD>",
    ),
    (
        "DISPATCHER_LOG__LEVEL__X",
        (
            "log.level.x (DISPATCHER_LOG__LEVEL__X): unknown key: log.level holds a value, "
            "not a section"
        ),
    ),
    (
        "DISPATCHER_CONFG",
        "confg (DISPATCHER_CONFG): unknown variable; the nearest known one is DISPATCHER_CONFIG",
    ),
    (
        "DISPATCHER_kafka__group_id",
        (
            "kafka.group_id (DISPATCHER_kafka__group_id): unknown variable; "
            "the nearest known one is DISPATCHER_KAFKA__GROUP_ID"
        ),
    ),
    (
        "DISPATCHER_SERVICE_HOST",
        (
            "service_host (DISPATCHER_SERVICE_HOST): unknown key; the nearest known one is "
            "events (if Kubernetes set it: enableServiceLinks: false)"
        ),
    ),
]


@pytest.mark.parametrize(("variable", "line"), UNKNOWN_IN_ENVIRONMENT)
def test_unknown_variables(refusal: Callable[..., list[str]], variable: str, line: str) -> None:
    """A misspelt variable that is passed over leaves the default in force, unseen."""
    assert refusal(**{variable: "1"}) == [line]


@pytest.mark.parametrize(
    "variable", ["DISPATCHER_", "DISPATCHER___", "DISPATCHER_FLOWS", "DISPATCHER_FLOWS__AbCd1234",
                 "DISPATCHER_FLOWS__a__b__c", "DISPATCHER_KAFKA__", "DISPATCHER_FLOWS____PRIORITY"],
)  # fmt: skip
def test_odd_variables_are_one_line(refusal: Callable[..., list[str]], variable: str) -> None:
    """Whatever a shell exports, the operator reads a line and no traceback."""
    assert len(refusal(**{variable: "1"})) == 1


BROKEN_FILES = [
    (b"kafka: {group_id: a}\nkafka: {}", "kafka (config.yaml:2): is given twice, first in line 1"),
    (b"log:\n  level: info\n  level: debug", "log.level (config.yaml:3): is given twice"),
    (b"kafka: [", "config.yaml:1: is not YAML: "),
    (b"a: 1\n\tb: 2", "config.yaml:2: is not YAML: "),
    (b"kafka: \xff", "config.yaml: is not UTF-8 at byte 7"),
    (b"kafka: \x07", "config.yaml: is not YAML: it holds a character"),
    (b"- kafka", "config.yaml: must be a mapping"),
    (b"just text", "config.yaml: must be a mapping"),
    (b"a: 1\n---\nb: 2", "config.yaml:2: is not YAML: "),
    (b"[a]: 1", "config.yaml:1: a key must be a plain word"),
    (b"log: {level: !env LEVEL}", "log.level (config.yaml:1): the tag !env is not supported"),
    (b"kafka: &a {topics: *a}", "kafka.topics.topics.topics"),
    (b"[" * 100_000, "config.yaml: is nested too deep"),
    (b"#" * (4 * 2**20 + 1), "config.yaml: has more than"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "beginning"), BROKEN_FILES)
def test_broken_files(refusal: Callable[..., list[str]], content: bytes, beginning: str) -> None:
    """An operator at night needs the line, not a parser's traceback."""
    (line,) = refusal(content)
    assert line.startswith(beginning)


def test_a_syntax_error_shows_no_secret(refusal: Callable[..., list[str]]) -> None:
    """YAML parsers quote the broken line, which may be that of the secret."""
    assert refusal(f'provider: {{security_id: "{SECRET}}}')


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A wrong mount is the most frequent mistake of a deployment."""
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_settings(tmp_path / "gone.yaml", NEEDED)


def test_every_problem_is_listed_with_its_place(refusal: Callable[..., list[str]]) -> None:
    """Fixing one line at a time, each after another start, takes an evening."""
    lines = refusal(
        "provider:\n  profile: bulkk\n  concurrency:\nflows:\n  bad: {}\nlog: text\n"
        "retry: {backoff_seconds: 99}\n",
        DISPATCHER_HTTP__PORT="http",
        DISPATCHER_HTTP__TOKEN="short-secret",
    )
    assert lines == [
        (
            "provider.profile (config.yaml:2): Input should be 'bulk', 'realtime' or 'dialer' "
            "(not 'bulkk')"
        ),
        "provider.concurrency (config.yaml:3): Input should be a valid integer (not null)",
        "retry.backoff_seconds (config.yaml:7): must not be above retry.backoff_max_seconds",
        "flows.bad (config.yaml:5): a flow id is 8 ASCII letters or digits",
        (
            "http.port (DISPATCHER_HTTP__PORT): Input should be a valid integer, unable to parse "
            "string as an integer (not 'http')"
        ),
        "http.token (DISPATCHER_HTTP__TOKEN): is too short: 16 or more are needed",
        "log (config.yaml:6): is a section: write its fields below it (not 'text')",
    ]


def test_rules_between_sections_are_listed_together(refusal: Callable[..., list[str]]) -> None:
    """Each broken rule names its field, its place and the way out."""
    lines = refusal(
        "batching: {calls_max: 600}\nflows: {AbCd1234: {api_version: TEST}}",
        DISPATCHER_PROVIDER__CALLS_PER_MINUTE="5000",
    )
    assert lines == [
        (
            "batching.calls_max (config.yaml:1): is 600, more than a tenth of "
            "provider.calls_per_minute, 5000: lower it to 500, or raise the limit to 6000"
        ),
        (
            "flows.AbCd1234.api_version (config.yaml:2): TEST exists for the profile dialer only: "
            "use 1.0"
        ),
    ]


def test_what_is_missing_says_how_to_give_it(tmp_path: Path) -> None:
    """A first start must lead to a second one that works."""
    file = tmp_path / "config.yaml"
    file.write_text("provider: {profile: bulk}")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(file, {})
    url, security_id = str(refused.value).splitlines()
    assert url == (
        f"provider.url ({file}:1): is required: write it in the file, "
        "or set DISPATCHER_PROVIDER__URL"
    )
    assert "set it in the environment, or set security_id_file" in security_id
    with pytest.raises(ConfigurationError, match=r"provider\.url: is required: write it"):
        load_settings(None, {})


def test_a_secret_in_the_wrong_field_is_not_shown(refusal: Callable[..., list[str]]) -> None:
    """Pasted one line too high, a secret must not end in the log of the start."""
    for variable in ("PROFILE", "URL", "API_VERSION", "TIME_ZONE", "REDIS_URL", "CORRELATION_KEY"):
        assert refusal(**{f"DISPATCHER_PROVIDER__{variable}": SECRET})
    assert refusal(
        DISPATCHER_PROVIDER__SECURITY_ID="x", DISPATCHER_PROVIDER__SECURITY_ID_FILE=SECRET
    )


def test_no_phone_number_is_shown(refusal: Callable[..., list[str]]) -> None:
    """A dummy number is somebody's number until proven otherwise."""
    (line,) = refusal("flows: {AbCd1234: {dummy_number: 98123-45678}}")
    assert "98123" not in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("flows: []", "flows (config.yaml:1): is a section: write its fields below it"),
        ("batching: []", "batching (config.yaml:1): is a section: write its fields below it"),
        (
            "provider: {previous_security_ids: {a: b}}",
            "provider.previous_security_ids (config.yaml:1): must be a list",
        ),
        (
            "provider: {previous_security_ids: '[1'}",
            "provider.previous_security_ids (config.yaml:1): is not a JSON list",
        ),
        (
            "flows: {AbCd1234: {calling_hours: [a, 09:00-25:00]}}",
            (
                "flows.AbCd1234.calling_hours (config.yaml:1): calling hours must be like "
                "09:00-21:00 or mon-fri 09:00-21:00"
            ),
        ),
        (
            "kafka: {security: {protocol: SSL, ca_file: gone}}",
            "kafka.security.ca_file (config.yaml:1): names no file (not 'gone')",
        ),
        ("'': 1", "config.yaml:1: unknown key; the nearest known one is tracing"),
    ],
)
def test_values_of_the_wrong_shape(refusal: Callable[..., list[str]], text: str, line: str) -> None:
    """A list for a mapping, or the reverse, is said in the file's words, not in Python's."""
    assert refusal(text) == [line]
