"""The configuration's models: defaults by profile, rules within and between sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings

SECRET = "Ab1" * 21 + "x"
OTHER_SECRET = "Cd2" * 21 + "y"
URL = "https://api.example.com/kairos-apis/outbound/create"


def settings_of(**sections: Any) -> Settings:
    """Valid settings with these sections; `provider` is added to what it must have."""
    provider = {"url": URL, "security_id": SECRET, **sections.pop("provider", {})}
    return Settings.model_validate({"provider": provider, **sections})


@pytest.mark.parametrize(
    ("profile", "per_minute", "calls_max"),
    [("bulk", 30_000, 500), ("realtime", 500, 50), ("dialer", 500, 50)],
)
def test_nulls_take_the_profiles_values(profile: str, per_minute: int, calls_max: int) -> None:
    """A profile without its own limit would be called as fast as bulk, and be blocked."""
    for written in ({}, {"calls_max": None}):
        settings = settings_of(provider={"profile": profile}, batching=written)
        assert settings.provider.calls_per_minute == per_minute
        assert settings.provider.requests_per_minute == per_minute
        assert settings.batching.calls_max == calls_max


def test_requests_follow_a_configured_call_limit() -> None:
    """Who lowers the limit of calls lowers that of requests, whichever the provider counts."""
    assert settings_of(provider={"calls_per_minute": 6000}).provider.requests_per_minute == 6000


def test_a_written_batch_size_stands() -> None:
    """The operator's own batch size must not be replaced by the profile's."""
    assert settings_of(batching={"calls_max": 7}).batching.calls_max == 7


def test_an_empty_section_is_its_defaults() -> None:
    """A section whose lines are all commented out must not stop the program."""
    empty = dict.fromkeys(["kafka", "batching", "retry", "flows", "log"])
    assert settings_of(**empty) == settings_of()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"provider": {"api_version": "TEST"}}, "dialer only"),
    ({"flows": {"AbCd1234": {"api_version": "TEST"}}}, "dialer only"),
    ({"provider": {"api_version": "2.0"}}, "'1.0' or 'TEST'"),
    ({"provider": {"profile": "dialer", "calls_per_minute": 9000}, "batching": {"calls_max": 501}},
     "must not be above 500 for the dialer"),
    ({"batching": {"calls_max": 10_001}}, "less than or equal to 10000"),
    ({"batching": {"body_bytes_max": 262_145}}, "less than or equal to 262144"),
    ({"provider": {"calls_per_minute": 4999}}, "lower it to 499, or raise the limit to 5000"),
    ({"provider": {"calls_per_minute": 9}}, "greater than or equal to 10"),
    ({"provider": {"url": "http://api.example.com/x"}}, "in clear"),
    ({"provider": {"url": "ftp://api.example.com/x"}}, "whole endpoint"),
    ({"provider": {"url": "api.example.com/x"}}, "whole endpoint"),
    ({"provider": {"url": "https:///x"}}, "whole endpoint"),
    ({"provider": {"url": "https://host:99999/x"}}, "not a URL"),
    ({"provider": {"url": "https://user:word@host/x"}}, "neither a user"),
    ({"provider": {"limit_scope": "redis"}}, "required by limit_scope redis"),
    ({"provider": {"redis_url": "http://host"}}, "redis://host"),
    ({"provider": {"redis_url": "redis://[::1"}}, "not a URL"),
    ({"kafka": {"security": {"protocol": "SSL", "key_file": __file__}}}, "without cert_file"),
    ({"provider": {"security_id": SECRET[:-1]}}, "63 characters"),
    ({"provider": {"security_id": SECRET[:-1] + "é"}}, "64 ASCII"),
    ({"provider": {"previous_security_ids": ["short"]}}, "64 ASCII"),
    ({"provider": {"timeout_seconds": 0}}, "greater than 0"),
    ({"provider": {"timeout_seconds": "inf"}}, "finite number"),
    ({"provider": {"timeout_seconds": "nan"}}, "finite number"),
    ({"provider": {"correlation_key": "order"}}, "match pattern"),
    ({"provider": {"correlation_key": "$flow.key."}}, "match pattern"),
    ({"provider": {"time_zone": "Asia/Atlantis"}}, "no IANA time zone"),
    ({"provider": {"time_zone": "../passwd"}}, "no IANA time zone"),
    ({"provider": {"time_zone": ""}}, "no IANA time zone"),
    ({"flows": {"AbCd123": {}}}, "match pattern"),
    ({"flows": {"AbCd1234\n": {}}}, "match pattern"),
    ({"flows": {"AbCd1234": {"dummy_number": "98XX"}}}, "match pattern"),
    ({"flows": {"AbCd1234": {"calling_hours": "9-21"}}}, "calling hours must be like"),
    ({"flows": {"AbCd1234": {"calling_hours": []}}}, "at least 1 item"),
    ({"flows": {"AbCd1234": {"priority": 0}}}, "greater than or equal to 1"),
    ({"kafka": {"bootstrap_servers": "host"}}, "host:port"),
    ({"kafka": {"bootstrap_servers": "a:1,,b:2"}}, "host:port"),
    ({"kafka": {"bootstrap_servers": "PLAINTEXT://a:1"}}, "host:port"),
    ({"kafka": {"bootstrap_servers": "a:70000"}}, "host:port"),
    ({"kafka": {"topics": {"results": "calls.requests"}}}, "named twice"),
    ({"kafka": {"topics": {"results": "calls results"}}}, "match pattern"),
    ({"kafka": {"session_timeout_seconds": 1}}, "greater than or equal to 3"),
    ({"kafka": {"security": {"protocol": "SASL_SSL"}}}, "required by protocol SASL_SSL"),
    ({"kafka": {"security": {"username": "me"}}}, "no use with protocol PLAINTEXT"),
    ({"kafka": {"security": {"protocol": "SSL", "ca_file": "/gone"}}}, "not point to a file"),
    ({"retry": {"backoff_seconds": 61}}, "above retry.backoff_max_seconds"),
    ({"retry": {"park_seconds": 61, "park_max_seconds": 60}}, "above retry.park_max_seconds"),
    ({"events": {"window_events_max": 999}}, "1000 or more"),
    ({"events": {"window_bytes_max": 65536}}, "1286144 or more"),
    ({"http": {"token": "too short"}}, "at least 16"),
    ({"http": {"port": 65_536}}, "less than or equal to 65535"),
    ({"shutdown": {"drain_seconds": -1}}, "greater than or equal to 0"),
    ({"log": {"level": "loud"}}, "'debug', 'info'"),
    ({"dead_letters": {"flood_share": 0}}, "greater than 0"),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "message"), REFUSED)
def test_what_would_break_a_promise_is_refused(sections: dict[str, Any], message: str) -> None:
    """A dispatcher that starts with this would break a promise, or fail at its first call."""
    with pytest.raises(ValidationError) as refused:
        settings_of(**sections)
    assert message in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8090/x",
        "http://localhost/x",
        "http://[::1]:8090/x",
        "https://api.example.com:8443/x?y=1",
    ],
)
def test_usable_endpoints_are_taken(url: str) -> None:
    """The twin on this machine needs no certificate; a proxy may have its own path."""
    assert settings_of(provider={"url": url}).provider.url == url


def test_a_flow_that_is_not_listed_takes_the_defaults() -> None:
    """Most flows are not listed; they must be called all the same."""
    flow = settings_of(batching={"linger_seconds": 2}).flow("Zz999999")
    assert (flow.security_id, flow.own_security_id, flow.api_version) == (SECRET, False, "1.0")
    assert (flow.priority, flow.linger_seconds, flow.dummy_number) == (1, 2.0, None)
    assert flow.calling_hours is None


def test_a_listed_flow_has_its_own_values() -> None:
    """A flow with its own security-id must never be called with the account's."""
    listed = {
        "security_id": OTHER_SECRET,
        "priority": 3,
        "linger_seconds": 0,
        "dummy_number": "+919999999999",
        "calling_hours": ["mon-fri 09:00-21:00", "sat 10:00-14:00"],
    }
    settings = settings_of(flows={"AbCd1234": listed})
    flow = settings.flow("AbCd1234")
    assert (flow.security_id, flow.own_security_id) == (OTHER_SECRET, True)
    assert (flow.priority, flow.linger_seconds, flow.dummy_number) == (3, 0.0, "+919999999999")
    assert flow.calling_hours == ("mon-fri 09:00-21:00", "sat 10:00-14:00")
    assert settings.security_id_of("AbCd1234") == OTHER_SECRET
    assert settings.security_id_of("Zz999999") == SECRET


def test_the_accounts_id_written_again_is_not_a_flows_own() -> None:
    """A hold on this flow's security-id is the account's hold: they are one account."""
    assert (
        not settings_of(flows={"AbCd1234": {"security_id": SECRET}})
        .flow("AbCd1234")
        .own_security_id
    )


def test_secrets_may_stand_in_files(tmp_path: Path) -> None:
    """Containers mount secrets as files, mostly with a line's end."""
    file = tmp_path / "security-id"
    file.write_text(OTHER_SECRET + "\n")
    provider = {"security_id": None, "security_id_file": str(file)}
    settings = settings_of(provider=provider, flows={"AbCd1234": {"security_id_file": file}})
    assert settings.security_id_of("Zz999999") == OTHER_SECRET
    assert settings.security_id_of("AbCd1234") == OTHER_SECRET


def test_exactly_one_place_holds_the_secret(tmp_path: Path) -> None:
    """Of two places one is stale, and nobody knows which."""
    file = tmp_path / "security-id"
    file.write_text(OTHER_SECRET)
    for provider, message in (
        ({"security_id_file": file}, "keep one of the two"),
        ({"security_id": None}, "is required"),
        ({"security_id": None, "security_id_file": tmp_path / "gone"}, "cannot be read"),
        ({"security_id": None, "security_id_file": tmp_path}, "cannot be read"),
    ):
        with pytest.raises(ValidationError, match=message):
            settings_of(provider=provider)
    file.write_bytes(b"\xff")
    with pytest.raises(ValidationError, match="not ASCII"):
        settings_of(provider={"security_id": None, "security_id_file": file})


def test_earlier_secrets_are_at_hand_for_recovered_batches() -> None:
    """A batch under way across a rotation is rebuilt with the secret its bytes hold."""
    settings = settings_of(provider={"previous_security_ids": f"{OTHER_SECRET},{SECRET}"})
    assert settings.previous_security_ids == (OTHER_SECRET, SECRET)


def test_no_secret_shows_when_settings_are_printed() -> None:
    """A stray print or a traceback must not publish a secret."""
    settings = settings_of(
        provider={
            "previous_security_ids": [OTHER_SECRET],
            "redis_url": "redis://:pass-word@host:6379/0",
        },
        http={"token": "token-of-16-chars"},
        flows={"AbCd1234": {"security_id": OTHER_SECRET}},
    )
    shown = f"{settings!r} {settings} {settings.flow('AbCd1234')!r} {settings.flow('x')}"
    for secret in (SECRET, OTHER_SECRET, "pass-word", "token-of-16-chars"):
        assert secret not in shown


def test_all_sasl_fields_reach_the_settings(tmp_path: Path) -> None:
    """A cluster with TLS and SASL must be reachable."""
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": "dispatcher",
        "password": "word",
        "ca_file": str(ca),
    }
    found = settings_of(kafka={"security": security}).kafka.security
    assert found.password is not None
    assert found.password.get_secret_value() == "word"
    assert found.ca_file == ca


def test_settings_never_change() -> None:
    """Two parts of the program must not see two configurations."""
    settings = settings_of()
    with pytest.raises(ValidationError):
        settings.provider.url = "https://elsewhere"  # type: ignore[misc]
