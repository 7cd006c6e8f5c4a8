"""The metrics of one process, in a registry of its own: counters and histograms of the loop.

Whatever is a state rather than a count is in `consumers.observability.state`.
"""

from collections import Counter as Count
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from consumers.service.dead_letter import code_of
from consumers.service.sequencing import Batch

COMMIT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
APPLY_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_INPUTS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

_topic: Final = itemgetter(0)


class Metrics:
    """Counts what is committed, and nothing before."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter began says nothing here
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter, histogram = self._counter, self._histogram
        self._read = counter("backstop_records_read", "Records that were read, by input topic.", "topic")
        self._inputs = counter("backstop_inputs_applied", "Inputs that were numbered and applied.")
        self._ignored = counter("backstop_inputs_ignored", "Claims and decisions that had been applied before.")
        self._rejects = counter("backstop_rejects", "Commands that the state refused, by code.", "code")
        self._letters = counter("backstop_dead_letters", "Records that are no command, by code.", "code")
        self._events = counter("backstop_events", "Events that were published, by topic.", "topic")
        self._batches = counter("backstop_batches", "Committed batches with inputs or dead letters.")
        self._heartbeats = counter("backstop_heartbeats", "Committed batches in which nothing happened.")
        self._sizes = histogram("backstop_batch_inputs", "Inputs of a batch.", BATCH_INPUTS)
        self._apply = histogram("backstop_apply_seconds", "Time to compute a batch.", APPLY_SECONDS)
        self._commit = histogram("backstop_commit_seconds", "Time to write and commit a batch.", COMMIT_SECONDS)

    def committed(self, batch: Batch, apply_seconds: float, commit_seconds: float) -> None:
        """Count one batch."""
        self._commit.observe(commit_seconds)
        if not batch.read and not batch.inputs and not batch.published:
            self._heartbeats.inc()
            return
        self._batches.inc()
        self._sizes.observe(batch.inputs)
        self._apply.observe(apply_seconds)
        self._inputs.inc(batch.inputs)
        if batch.ignored:
            self._ignored.inc(batch.ignored)
        for source, number in batch.read.items():
            self._read.labels(source.partition("/")[0]).inc(number)
        _add(self._rejects, batch.rejects)
        _add(self._events, Count(map(_topic, batch.published)))
        _add(self._letters, Count(map(code_of, batch.dead_letters)))

    def expect(self, topics: Iterable[str]) -> None:
        """Show these inputs from the start, with 0 records: a rate needs a beginning."""
        for topic in topics:
            self._read.labels(topic)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(name, help_, labels, registry=self.registry)

    def _histogram(self, name: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help_, buckets=buckets, registry=self.registry)


def _add(counter: Counter, counts: Mapping[str, int]) -> None:
    for label, number in counts.items():
        counter.labels(label).inc(number)
