"""The pods' containers as processes, on a real Kafka: what Kubernetes would start, ask and stop."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from service.demo.evidence import TwinPages
from service.demo.processes import Process
from service.demo.stage import Stage
from tests.chart.containers import container, readiness
from tests.chart.helm import DISPATCHER, TOPICS, helm
from tests.chart.value_sets import SECURITY_ID, whole
from tests.support.dispatcher import QUICK, call, ended, merged, until
from tests.support.kafka import produce
from tests.support.settings import SECURITY_ID as ID

CALLS = 20


async def test_the_release_dispatches_and_drains(kafka: str, tmp_path: Path) -> None:
    """Job and replicas would fail in a cluster, where nobody has tried them."""
    async with Stage("chart") as stage, AsyncExitStack() as exits:
        stage.bootstrap = kafka
        await stage.start_kafka()
        url = await stage.start_twin("--security-id", ID)
        own = {"kafka": {"group_id": stage.names.prefix, "topics": stage.names.topics}}
        values = {"config": merged(QUICK, own), "secret": {SECURITY_ID: ID}}
        release = helm(4).render(whole(values))
        # What is elsewhere in a cluster. The environment wins over the file.
        here = {
            "DISPATCHER_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "DISPATCHER_PROVIDER__URL": url,
            "DISPATCHER_HTTP__HOST": "127.0.0.1",
            "DISPATCHER_HTTP__PORT": "0",
        }

        async def start(component: str, name: str) -> Process:
            what = container(release, component, tmp_path)
            log = tmp_path / f"{name}.log"
            process = await Process.start(name, what.words, log, what.environment | here)
            exits.push_async_callback(process.stop, 0)
            return process

        job = await start(TOPICS, "job")
        assert await ended(job) == 0, job.last_words
        replicas = release.one("Deployment")["spec"]["replicas"]
        pods = [await start(DISPATCHER, f"pod-{number}") for number in range(replicas)]
        session = await exits.enter_async_context(aiohttp.ClientSession())
        for pod in pods:
            address = await pod.said(r'"event": ?"started".*"http": ?"([^"]+)"')

            async def ready(asked: str = address + readiness(release)) -> bool:
                async with session.get(asked) as answer:
                    return answer.ok

            await until(ready)
        events = [json.dumps(call(number)).encode() for number in range(CALLS)]
        await produce(kafka, stage.names.topics["requests"], events)
        twin = await exits.enter_async_context(TwinPages(url))

        async def all_placed() -> bool:
            return (await twin.summary()).calls_accepted >= CALLS

        await until(all_placed)
        for pod in pods:
            await pod.stop(release.values["terminationGracePeriodSeconds"])
            assert pod.exit_code == 0, pod.last_words
