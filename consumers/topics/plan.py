"""What has to be done to the topics of a cluster, and what cannot be done."""

from collections.abc import Mapping
from typing import NamedTuple

from consumers.errors import UsageFailure


class Wanted(NamedTuple):
    """A topic as it should be, by its full name."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


class Found(NamedTuple):
    """A topic as it is. `replication` is the smallest of its partitions."""

    partitions: int
    replication: int
    settings: Mapping[str, str]


class Step(NamedTuple):
    """What is to be done to one topic: make it, add partitions, or change settings. All empty: nothing."""

    wanted: Wanted
    create: bool
    partitions_before: int
    changes: Mapping[str, tuple[str, str]]

    @property
    def adds_partitions(self) -> bool:
        """Whether it exists with too few."""
        return not self.create and self.partitions_before < self.wanted.partitions

    @property
    def is_done(self) -> bool:
        """Whether the topic is as it should be."""
        return not (self.create or self.adds_partitions or self.changes)

    def __str__(self) -> str:
        if self.create:
            return "create"
        parts = [f"{name}: {before} → {after}" for name, (before, after) in self.changes.items()]
        if self.adds_partitions:
            parts.insert(0, f"partitions: {self.partitions_before} → {self.wanted.partitions}")
        return "\n".join(parts) or "as it should be"


def plan(wanted: list[Wanted], found: Mapping[str, Found], brokers: int) -> list[Step]:
    """One step per topic. Raises UsageFailure for the first that Kafka cannot do."""
    return [_step(topic, found.get(topic.name), brokers) for topic in wanted]


def _step(wanted: Wanted, found: Found | None, brokers: int) -> Step:
    if found is None:
        if wanted.replication > brokers:
            raise UsageFailure(
                f"topics.replication: {wanted.replication}, but the cluster has {brokers} "
                f"broker{'s' if brokers > 1 else ''}; set it (and min_insync) in the service config to what there is"
            )
        return Step(wanted, create=True, partitions_before=0, changes={})
    if found.partitions > wanted.partitions:
        raise UsageFailure(
            f"topic {wanted.name} has {found.partitions} partitions and the venue has use for {wanted.partitions}; "
            "Kafka cannot take partitions away, and what is written to the others would not be read: "
            "is it the topic of another venue (kafka.topic_prefix)?"
        )
    if found.replication != wanted.replication:
        raise UsageFailure(
            f"topic {wanted.name} has replication factor {found.replication}, topics.replication is "
            f"{wanted.replication}; move it with kafka-reassign-partitions, or change the service config"
        )
    changes = {
        name: (found.settings.get(name, "(unknown)"), value)
        for name, value in wanted.settings.items()
        if found.settings.get(name) != value
    }
    return Step(wanted, create=False, partitions_before=found.partitions, changes=changes)
