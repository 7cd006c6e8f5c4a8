"""The topics of a venue: who writes and reads each, how many partitions it has, what it is configured with.

Nothing is compacted and nothing is thrown away early: a topic is a record of what happened. Each stream (the engine of
a shard, the settlement of an asset) has one partition number, on all topics.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from consumers.kafka.settings import ServiceConfig
from schemas.config import VenueConfig
from schemas.partitions import stream_partitions

KIB: Final = 1024
MIB: Final = 1024 * KIB

INPUT_BYTES: Final = 64 * KIB
"""A batch of commands, as its producer sends it. What fits here fits into a journal record and a dead letter."""

OUTPUT_BYTES: Final = MIB
"""A batch of events or a journal record. A journal record itself is at most half of it."""

DEAD_LETTER_BYTES: Final = 2 * MIB
"""The raw bytes of whatever could be written to an input, with room for what is said about it."""


class Topic(NamedTuple):
    """A topic without its prefix. `writers` and `readers` are engine, settlement or outside, in words for people.

    `numbers` says whose partition a record goes to: that of the `shard` or the `asset` it is about, or of the `stream`
    that wrote it.
    """

    name: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    numbers: str
    bytes_max: int
    says: str


CATALOGUE: Final = (
    Topic("orders", ("outside",), ("engine",), "shard", INPUT_BYTES, "orders of traders"),
    Topic("mark-prices", ("outside",), ("engine",), "shard", INPUT_BYTES, "mark prices and funding rates"),
    Topic("accounts", ("outside",), ("engine",), "shard", INPUT_BYTES, "deposits, withdrawals, account settings"),
    Topic("fund-admin", ("outside",), ("settlement",), "asset", INPUT_BYTES, "what operators do to insurance funds"),
    Topic("admin", ("outside",), ("engine", "settlement"), "stream", INPUT_BYTES, "config changes, clock ticks"),
    Topic("decisions", ("settlement",), ("engine",), "shard", OUTPUT_BYTES, "what settlement decided on claims"),
    Topic(
        "liquidations",
        ("engine",),
        ("settlement", "outside"),
        "shard",
        OUTPUT_BYTES,
        "the course of liquidations, and claims on settlement",
    ),
    Topic(
        "executions",
        ("engine", "settlement"),
        ("outside",),
        "stream",
        OUTPUT_BYTES,
        "orders, trades and what became of config changes",
    ),
    Topic("positions", ("engine",), ("outside",), "shard", OUTPUT_BYTES, "positions and balances"),
    Topic("adl", ("engine",), ("outside",), "shard", OUTPUT_BYTES, "who was deleveraged, and why"),
    Topic("settlements", ("settlement",), ("outside",), "asset", OUTPUT_BYTES, "funds: balances, credits, debits"),
    Topic("ledger", ("engine", "settlement"), ("outside",), "stream", OUTPUT_BYTES, "double-entry postings"),
    Topic(
        "journal",
        ("engine", "settlement"),
        ("engine", "settlement", "outside"),
        "stream",
        OUTPUT_BYTES,
        "each stream's numbered inputs: what it is restored from",
    ),
    Topic(
        "dead-letters",
        ("engine", "settlement"),
        ("outside",),
        "stream",
        DEAD_LETTER_BYTES,
        "records that are no commands, with the reason",
    ),
)


def partition_count(config: VenueConfig) -> int:
    """How many partitions each topic has: up to the largest number of a stream."""
    return max(stream_partitions(config).values()) + 1


def topic_settings(topic: Topic, settings: ServiceConfig) -> Mapping[str, str]:
    """Kafka's own settings of a topic, by Kafka's names. What is not named here is left as the cluster has it."""
    return {
        "cleanup.policy": "delete",
        "max.message.bytes": str(topic.bytes_max),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(settings.topics.min_insync),
        "retention.bytes": "-1",
        "retention.ms": str(settings.topics.retention_ms(topic.name)),
        "unclean.leader.election.enable": "false",
    }
