"""The topics of a cluster: what they are like, and how they are changed."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from consumers.errors import UsageFailure
from consumers.kafka.alter_configs import AlterTopicConfigs
from consumers.kafka.connection import client_options, reachable
from consumers.kafka.settings import ServiceConfig
from consumers.topics.plan import Found, Step, Wanted, plan

SEEN_SECONDS: Final = 30.0
"""How long a change may take to reach the brokers; mostly it takes milliseconds."""

_UNKNOWN_TOPIC: Final = 3


async def arrange(settings: ServiceConfig, wanted: list[Wanted], *, dry_run: bool) -> list[Step]:
    """Plan what has to be done and, unless it is a dry run, do it. Raises UsageFailure where Kafka refuses."""
    cluster = await reachable(settings)
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        found = await _found(admin, wanted)
        steps = plan(wanted, found, len(cluster.brokers))
        if not dry_run:
            await _carry_out(admin, steps)
            await _seen(admin, wanted, len(cluster.brokers))
    except KafkaError as error:
        raise UsageFailure(f"Kafka refused: {_said(error)}") from None
    finally:
        await admin.close()
    return steps


async def _seen(admin: AIOKafkaAdminClient, wanted: list[Wanted], brokers: int) -> None:
    """Wait until the brokers know what the controller did, so that a service can be started at once."""
    end = time.monotonic() + SEEN_SECONDS
    while True:
        left = [step for step in plan(wanted, await _found(admin, wanted), brokers) if not step.is_done]
        if not left:
            return
        if time.monotonic() > end:
            names = ", ".join(step.wanted.name for step in left)
            raise UsageFailure(f"Kafka has taken the changes and does not show them of {names}; run it again")
        await asyncio.sleep(0.1)


async def _found(admin: AIOKafkaAdminClient, wanted: list[Wanted]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    settings_of = {topic.name: topic.settings for topic in wanted}
    for topic in await admin.describe_topics(list(settings_of)):
        name, code = topic["topic"], topic["error_code"]
        if code == _UNKNOWN_TOPIC:
            continue
        _check("see", name, code)
        resource = ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(settings_of[name], ""))
        partitions = topic["partitions"]
        found[name] = Found(
            len(partitions),
            min(len(partition["replicas"]) for partition in partitions),
            _settings(await admin.describe_configs([resource])),
        )
    return found


def _settings(answers: Iterable[Any]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for answer in answers:
        for resource in answer.to_object()["resources"]:
            _check("see the settings of", resource["resource_name"], resource["error_code"], resource["error_message"])
            settings |= {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
    return settings


async def _carry_out(admin: AIOKafkaAdminClient, steps: list[Step]) -> None:
    new = [
        NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=dict(topic.settings))
        for topic, create, *_ in steps
        if create
    ]
    if new:
        for name, code, said in (await admin.create_topics(new)).topic_errors:
            _check("create", name, code, said)
    more = {step.wanted.name: NewPartitions(step.wanted.partitions) for step in steps if step.adds_partitions}
    if more:
        await admin.create_partitions(more)
    changes = {
        step.wanted.name: {name: after for name, (_, after) in step.changes.items()} for step in steps if step.changes
    }
    if changes:
        answer = await admin._send_to_controller(AlterTopicConfigs(changes))
        for code, said, _, name in answer.resources:
            _check("configure", name, code, said)


def _check(deed: str, topic: str, code: int, said: str | None = None) -> None:
    if code:
        raise UsageFailure(f"Kafka refused to {deed} topic {topic}: {said or _said(for_code(code)())}")


def _said(error: KafkaError) -> str:
    return " ".join((getattr(error, "description", None) or str(error)).split()).rstrip(".")
