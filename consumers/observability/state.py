"""What is a state rather than a count, put into metrics when somebody asks.

Amounts leave the exact world here: a metric is a double, good for a graph and an alarm, and never read back.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, get_args

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from consumers.observability.figures import Figures
from consumers.observability.watch import Watch
from consumers.service.observer import Role

ROLES: Final[tuple[str, ...]] = get_args(Role)


class StateCollector(Collector):
    """Reads a watch. Lags are asked for by whoever serves the metrics, as that has to be awaited."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.input_lag: Mapping[str, int | None] = {}
        self.journal_lag: int | None = None

    def collect(self) -> Iterable[Metric]:
        """All of them, with no sample where there is nothing to say."""
        watch = self._watch
        figures = watch.figures
        yield from self._instance()
        yield from self._progress(figures)
        yield from _engine(figures)
        yield from _settlement(figures)
        yield from self._audit(figures)

    def _instance(self) -> Iterator[Metric]:
        watch = self._watch
        stream, instance, code, config = watch.identity
        info = {"stream": stream, "instance": instance, "version": code, "config": config}
        yield InfoMetricFamily("backstop_build", "Version, stream, instance and config hash.", value=info)
        role = GaugeMetricFamily("backstop_role", "1 for what the instance is at the moment.", labels=["role"])
        for name in ROLES:
            role.add_metric([name], watch.role == name)
        yield role
        yield _gauge("backstop_leader", "1 if this instance leads its stream.", watch.role == "leader")
        epoch = watch.epoch if watch.journal is None else watch.journal.epoch
        yield _gauge("backstop_epoch", "Number of the leading instance; each takeover raises it.", epoch)

    def _progress(self, figures: Figures | None) -> Iterator[Metric]:
        watch = self._watch
        yield _gauge("backstop_journal_number", "Number of the last committed input.", figures and figures.number)
        yield _gauge("backstop_last_seq", "seq of the last committed event.", figures and figures.seq)
        event_time = figures.event_time / 1e6 if figures is not None else None
        yield _gauge("backstop_event_time_seconds", "Event time, in seconds since the epoch.", event_time)
        moment = watch.committed_moment
        yield _gauge("backstop_last_commit_time_seconds", "When a commit last returned, since the epoch.", moment)
        yield _gauge("backstop_loop_idle_seconds", "Seconds since the loop last turned.", watch.since_turn)
        lag = GaugeMetricFamily(
            "backstop_input_lag_records",
            "Offsets up to the last stable one that are in no committed batch yet.",
            labels=["topic", "partition"],
        )
        for name, behind in self.input_lag.items():
            if behind is not None:
                lag.add_metric(name.split("/"), behind)
        yield lag
        yield _gauge("backstop_journal_lag_records", "Offsets that a follower has not applied.", self.journal_lag)
        silence = watch.journal.silence if watch.journal is not None else None
        yield _gauge("backstop_journal_silence_seconds", "For how long a follower has heard nothing.", silence)
        number, moment = watch.snapshot or (None, None)
        yield _gauge("backstop_snapshot_number", "Number of the input that the last snapshot is after.", number)
        yield _gauge("backstop_snapshot_time_seconds", "When the last snapshot was taken, since the epoch.", moment)

    def _audit(self, figures: Figures | None) -> Iterator[Metric]:
        audit = self._watch.audit
        finding = audit.latest
        residual = finding.residual if finding is not None else None
        yield _amount("backstop_conservation_residual", "What the books hold beyond what came in.", figures, residual)
        moment = finding.moment if finding is not None else None
        yield _gauge(
            "backstop_conservation_time_seconds", "When the books were last added up, since the epoch.", moment
        )
        yield CounterMetricFamily("backstop_conservation_failures", "Times they did not add up.", value=audit.failures)


def _engine(figures: Figures | None) -> Iterator[Metric]:
    yield _gauge("backstop_accounts", "Accounts of the shard.", figures and figures.accounts)
    waiting = figures and figures.waiting
    yield _gauge("backstop_waiting_liquidations", "Liquidations that the cap per command left over.", waiting)
    open_residuals = figures and figures.open_residuals
    yield _gauge("backstop_open_residuals", "Questions that settlement has not answered.", open_residuals)
    deficit = GaugeMetricFamily("backstop_market_deficit", "Loss that nobody has covered.", labels=["market", "asset"])
    for market, units in figures.deficits if figures is not None else ():
        assert figures is not None
        deficit.add_metric([market, figures.asset], _decimal(units, figures))
    yield deficit


def _settlement(figures: Figures | None) -> Iterator[Metric]:
    yield _gauge(
        "backstop_reservations", "Takeovers and ADLs that reserve of a fund.", figures and figures.reservations
    )
    labels = ["fund", "asset"]
    balance = GaugeMetricFamily("backstop_fund_balance", "Balance of a fund.", labels=labels)
    reserved = GaugeMetricFamily("backstop_fund_reserved", "What of a balance is reserved.", labels=labels)
    minimum = GaugeMetricFamily("backstop_fund_minimum", "What a balance should not fall below.", labels=labels)
    pending = GaugeMetricFamily("backstop_fund_pending", "Gains less losses until reconciliation.", labels=labels)
    for fund in figures.funds if figures is not None else ():
        assert figures is not None
        place = [fund.name, figures.asset]
        balance.add_metric(place, _decimal(fund.balance, figures))
        reserved.add_metric(place, _decimal(fund.reserved, figures))
        minimum.add_metric(place, _decimal(fund.minimum, figures))
        pending.add_metric(place, _decimal(fund.pending, figures))
    yield from (balance, reserved, minimum, pending)


def _decimal(units: int, figures: Figures) -> float:
    return units / int(10**figures.decimals)


def _gauge(name: str, help_: str, value: float | None) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, value=value)


def _amount(name: str, help_: str, figures: Figures | None, units: int | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_, labels=["asset"])
    if figures is not None and units is not None:
        family.add_metric([figures.asset], _decimal(units, figures))
    return family
