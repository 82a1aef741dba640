"""What comes in and goes out, field by field: the contract as other people's systems meet it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jsonschema

from service.core.outcome_schemas import dead_letter_headers_schema, result_json_schema
from tests.support.dispatcher import call, scene, the_lane, until
from tests.support.kafka import producer, read_all

TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
DLQ = ("topic", "partition", "offset", "group", "delivery.count", "message")
ALWAYS = {
    *(f"__dlq.errors.{name}" for name in DLQ),
    *("dispatch.reason", "dispatch.attempts", "dispatch.timestamp"),
    *("dispatch.first-failed-at", "dispatch.failed-at"),
}
SENT = {"dispatch.code", "dispatch.flow-id", "dispatch.batch-id"}


def text(headers: Any) -> dict[str, str]:
    """Headers of a record, decoded; each may stand there once only."""
    found = {name: value.decode() for name, value in headers}
    assert len(found) == len(headers)
    return found


def milliseconds(stamp: str) -> int:
    """An RFC 3339 time as Kafka counts it."""
    return round(dt.datetime.fromisoformat(stamp).timestamp() * 1000)


async def test_a_result_has_every_field_and_the_events_key(kafka: str) -> None:
    """Upstream joins its orders by these; one that is wrong is somebody's missed call."""
    identifiers = ["order-1", 17, 1.5, True, ["a", 1], {"a": {"b": "ü"}}, "17", '"', "%d %s"]
    async with scene(kafka, "--profile", "realtime", provider={"profile": "realtime"}) as stage:
        events = [call(number, client_identifier=name) for number, name in enumerate(identifiers)]
        headers = [TRACE, ("other", b"stays behind")]
        await stage.publish(events, key=b"\x00customer", headers=headers)
        await stage.run()
        await stage.settled()
        events_read = await read_all(kafka, stage.requests)
        records = await read_all(kafka, stage.stage.names.topics["results"])
        seen = {each.request_id: each for each in await stage.twin.requests()}
        assert len(records) == len(identifiers)
        for record in records:
            value = json.loads(record.value)
            jsonschema.validate(value, result_json_schema())
            assert (record.key, list(record.headers)) == (b"\x00customer", [TRACE])
            source = value["source"]
            assert value["client-identifier"] == identifiers[source["offset"]]
            assert type(value["client-identifier"]) is type(identifiers[source["offset"]])
            assert (source["topic"], source["partition"]) == (stage.requests, 0)
            assert milliseconds(source["timestamp"]) == events_read[source["offset"]].timestamp
            assert milliseconds(value["accepted-at"]) <= record.timestamp
            told = {name: value[name] for name in ("flow-id", "status", "confirmation", "origin")}
            assert told == {
                "flow-id": "Flow0000",
                "status": "accepted",
                "confirmation": "response",
                "origin": None,
            }
            assert (value["api-response-code"], value["attempts"]) == (200, 1)
            assert seen[value["request-id"]].accepted
            assert value["phonon-uuid"]
            assert value["batch-id"]


def malformed() -> Mapping[str, tuple[bytes | None, str]]:
    """Values that are no events, each with a word that its message must have."""
    good = call(1)

    def but(**more: object) -> bytes:
        return json.dumps({**good, **{k.replace("_", "-"): v for k, v in more.items()}}).encode()

    def less(name: str) -> bytes:
        return json.dumps({key: value for key, value in good.items() if key != name}).encode()

    return {
        "tombstone": (None, "no value"),
        "empty": (b"", "JSON"),
        "no JSON": (b"\xff\xfe{", "JSON"),
        "no UTF-8": (but(client_identifier="x").replace(b"x", b"\xff", 1), "UTF-8"),
        "cut": (but()[:-1], "JSON"),
        "a list": (b"[]", "object"),
        "unknown field": (but(start_tiem="2030-01-31T09:30:00+05:30"), "start-tiem"),
        "no flow": (less("flow-id"), "flow-id"),
        "no identifier": (less("client-identifier"), "client-identifier"),
        "no numbers": (less("contact-numbers"), "contact-numbers"),
        "wrong flow": (but(flow_id="Flow 000"), "flow-id"),
        "null identifier": (but(client_identifier=None), "client-identifier"),
        "empty identifier": (but(client_identifier={}), "client-identifier"),
        "masked number": (but(contact_numbers=["98XXXXXX21"]), "contact-numbers"),
        "short Indian number": (but(contact_numbers=["+91981234567"]), "contact-numbers"),
        "float number": (but(contact_numbers=[9812345678.0]), "contact-numbers"),
        "wrong key": (but(keys=[{"name": "flow.key.x"}]), "keys"),
        "key twice": (but(keys=[{"name": "$flow.key.x"}] * 2), "keys"),
        "null key": (but(keys=[{"name": "$flow.key.x", "value": None}]), "keys"),
        "no time": (but(start_time="tomorrow"), "start-time"),
        "not finite": (but()[:-1] + b',"keys":[{"name":"$flow.key.x","value":NaN}]}', ""),
        "nested": (but()[:-1] + b',"client-identifier":' + b"[" * 40 + b"]" * 40 + b"}", ""),
    }


async def test_each_malformed_event_is_one_dead_letter_unchanged(kafka: str) -> None:
    """Upstream repairs and sends again what it finds there: it must be all of it, as it was."""
    async with scene(kafka) as stage:
        wrong = malformed()
        values = [value for value, _ in wrong.values()]
        headers = [TRACE, ("dispatch.reason", b"upstream's own"), ("empty", b"")]
        sent = await stage.publish_malformed(values, key=b"the key", headers=headers)
        await stage.publish([call(2)])
        await stage.run()
        await stage.settled()
        dead, events = await stage.dead_letters(), await read_all(kafka, stage.requests)
        assert set(dead) == {each.source[2] for each in sent}
        for at, (name, (value, word)) in zip(sent, wrong.items(), strict=True):
            record = dead[at.source[2]]
            assert (record.key, record.value) == (b"the key", value), name
            assert list(record.headers[: len(headers)]) == headers, name
            ours = text(record.headers[len(headers) :])
            jsonschema.validate(ours, dead_letter_headers_schema())
            digest = {"dispatch.payload-sha256"} if value is not None else set()
            assert ALWAYS | digest <= set(ours) <= ALWAYS | digest | {"dispatch.flow-id"}, name
            source = (stage.requests, "0", str(at.source[2]))
            assert tuple(ours[f"__dlq.errors.{part}"] for part in DLQ[:3]) == source
            assert ours["__dlq.errors.group"] == stage.stage.names.prefix
            assert (ours["dispatch.reason"], ours["dispatch.attempts"]) == ("invalid", "0"), name
            assert word in ours["__dlq.errors.message"], (name, ours["__dlq.errors.message"])
            assert milliseconds(ours["dispatch.timestamp"]) == events[at.source[2]].timestamp
            if value is not None:
                assert ours["dispatch.payload-sha256"] == hashlib.sha256(value).hexdigest()


async def test_events_that_must_not_be_sent_end_by_their_reason(kafka: str) -> None:
    """Too late or too large: the customer is not phoned, and whoever asks is told why."""
    now = dt.datetime.now(INDIA)
    yesterday = (now - dt.timedelta(days=1)).isoformat(timespec="seconds")
    a_minute_ago = (now - dt.timedelta(minutes=1)).isoformat(timespec="seconds")
    large = [{"name": "$flow.key.x", "value": "x" * 2000}]
    config: dict[str, Any] = {
        "batching": {"body_bytes_max": 2000},
        "flows": {"Mail0000": {"dummy_number": "910000000000"}},
    }
    async with scene(kafka, "--refuse", "402:number-ending=99", **config) as stage:
        late = await stage.publish([call(1, start_time=yesterday)], "expired")
        late += await stage.publish([call(2, expires_at=a_minute_ago)], "expired")
        huge = await stage.publish([call(3, keys=large)], "oversize")
        refused = await stage.publish([call(99)], "rejected", headers=[TRACE])
        tomorrow = (now + dt.timedelta(days=1)).isoformat(timespec="seconds")
        await stage.publish([call(number, expires_at=tomorrow) for number in range(5, 50)])
        mail = {"flow-id": "Mail0000", "client-identifier": "by mail"}
        await stage.publish([mail])
        await stage.run()
        await stage.settled()
        dead = await stage.dead_letters()
        for each in [*late, *huge]:
            ours = text(dead[each.source[2]].headers)
            wanted = ALWAYS | {"dispatch.flow-id", "dispatch.payload-sha256"}
            assert set(ours) == wanted
            assert ours["dispatch.attempts"] == "0"
        (one,) = refused
        ours = text(dead[one.source[2]].headers)
        assert set(ours) == ALWAYS | SENT | {"dispatch.payload-sha256", "traceparent"}
        assert (ours["dispatch.code"], ours["dispatch.flow-id"]) == ("402", "Flow0000")
        assert int(ours["dispatch.attempts"]) >= 1
        assert (await stage.twin.summary()).body_bytes_max <= 2000


async def test_what_upstream_aborted_is_never_sent(kafka: str) -> None:
    """An aborted transaction is a decision not to call."""
    async with scene(kafka) as stage:
        upstream = stage.stage.names.prefix + ".upstream"
        async with producer(kafka, transactional_id=upstream) as client:
            await client.begin_transaction()
            for number in range(30):
                value = json.dumps(call(1000 + number)).encode()
                await client.send_and_wait(stage.requests, value)
            await client.abort_transaction()
        published = await stage.publish([call(number) for number in range(10)])
        dispatcher = await stage.run()
        await stage.settled()
        end = published[-1].source[2] + 1  # the marker of the abort may come late, even behind it

        async def all_read() -> bool:
            (partition,) = (await the_lane(dispatcher))["partitions"]
            return bool(partition["position"] >= end)

        await until(all_read)
        assert (await stage.twin.summary()).calls_accepted == 10


async def test_huge_events_end_as_one_dead_letter_each_and_the_lane_goes_on(kafka: str) -> None:
    """One producer's mistake must not stop everybody's calls."""
    async with scene(kafka) as stage:
        options: dict[str, Any] = {"compression_type": "gzip", "max_request_size": 20_000_000}
        large, huge = (
            call(number, keys=[{"name": "$flow.key.x", "value": "x" * size}])
            for number, size in ((1, 900_000), (2, 8_000_000))
        )
        await stage.publish([call(0)])
        await stage.publish([large, huge], "invalid", **options)
        await stage.publish([call(3)])
        await stage.run()
        await stage.settled()
        dead = await stage.dead_letters()
        assert json.loads(dead[1].value) == large
        ours = text(dead[2].headers)
        size = len(json.dumps(huge, separators=(",", ":")))
        assert dead[2].value is None
        assert ours["dispatch.value-omitted"] == "true"
        assert ours["dispatch.value-bytes"] == str(size)


async def test_events_in_every_compression_are_read(kafka: str) -> None:
    """Whatever codec upstream's producers use, a lane must not stop at it."""
    async with scene(kafka) as stage:
        for turn, codec in enumerate(("gzip", "snappy", "lz4", "zstd")):
            events = [call(100 * turn + number) for number in range(20)]
            await stage.publish(events, compression_type=codec)
        await stage.run()
        await stage.settled()
