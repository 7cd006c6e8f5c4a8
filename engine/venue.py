"""The whole venue in one process: engines and settlements of all shards and assets, wired by what they emit.

This is the embedded mode. Each claim is applied by settlement and each decision by its engine before the next
command, in the order in which they were emitted; nothing else passes between the machines.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from engine.conservation import check_settlement, check_shard, settlement_residual, shard_residual
from engine.consistency import check_consistency
from engine.fund_commands import FundCommand
from engine.report import report_accounts, report_funds, report_markets, report_totals, report_treasuries
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import compile_venue
from schemas.claims import CLAIM_TYPES, DECISION_TYPES, AnyDecision, Claim
from schemas.commands import (
    AccountCancelAfter,
    AccountDeposit,
    AccountWithdraw,
    ClockTick,
    Command,
    ConfigSet,
    FundDeposit,
    FundMinimum,
    FundTransfer,
    FundWithdraw,
    OrderCancelAll,
)
from schemas.config import VenueConfig
from schemas.envelope import Event


class Venue:
    """All state machines of a venue config. Raises ConfigError for a config that does not make sense."""

    def __init__(self, config: VenueConfig) -> None:
        self._spec = compile_venue(config)
        self.shards = {name: Shard(spec) for name, spec in self._spec.shards.items()}
        self.settlements = {name: Settlement(self._spec, asset) for name, asset in self._spec.assets.items()}
        self._connect()
        # What names no market, shard or fund that exists is answered by the first machine there is.
        self._first_shard = next(iter(self.shards.values()))
        self._first_settlement = next(iter(self.settlements.values()))
        # Every other command names its market.
        self._routes: dict[type, Callable[[Any], list[Event]]] = {
            ClockTick: self._to_all,
            ConfigSet: self._configure,
            **dict.fromkeys((AccountDeposit, AccountWithdraw, AccountCancelAfter, OrderCancelAll), self._by_shard),
            **dict.fromkeys((FundDeposit, FundWithdraw, FundMinimum, FundTransfer), self._by_fund),
        }
        self._receivers: dict[type, Callable[[Any], list[Event]]] = {
            **dict.fromkeys(CLAIM_TYPES, self._settle),
            **dict.fromkeys(DECISION_TYPES, self._decide),
        }

    @property
    def config(self) -> VenueConfig:
        """The config as changes have left it."""
        return self._spec.config

    def genesis(self) -> list[Event]:
        """What is published before the first command. Call once."""
        return [event for settlement in self.settlements.values() for event in settlement.genesis()]

    def apply(self, command: Command) -> list[Event]:
        """Apply one outside command and everything that follows from it; all events in order of emission."""
        events = self._pass_time(command.ts) if command.ts >= self._period_end else []
        events.extend(self._routes.get(type(command), self._by_market)(command))
        for event in events:  # grows while it is walked
            receive = self._receivers.get(type(event))
            if receive is not None:
                events.extend(receive(event))
        return events

    def residuals(self) -> dict[str, str]:
        """The conservation residual of every asset, over its shards and funds; zero unless something is broken."""
        residuals = {}
        for name, settlement in self.settlements.items():
            shards = [shard for shard in self.shards.values() if shard.state.spec.asset.name == name]
            in_transit = sum(shard.state.transit.balance for shard in shards) + sum(
                counterpart.transit.balance for counterpart in settlement.shards.values()
            )
            total = sum(map(shard_residual, shards)) + settlement_residual(settlement) - in_transit
            residuals[name] = settlement.asset.text(total)
        return residuals

    def check_consistency(self) -> None:
        """Compare all that the state keeps twice with a full scan. Raises InvariantBroken."""
        for shard in self.shards.values():
            check_consistency(shard)

    def check(self) -> None:
        """Add up everything: money, sizes, reservations. Raises InvariantBroken."""
        for shard in self.shards.values():
            check_shard(shard)
        for settlement in self.settlements.values():
            check_settlement(settlement)

    def state_hash(self) -> str:
        """SHA-256 over the state hashes of all machines."""
        digest = sha256()
        for machine in self._machines():
            digest.update(f"{machine.stream} {machine.state_hash()}\n".encode())
        return digest.hexdigest()

    def report(self) -> dict[str, Any]:
        """Funds, totals per asset, accounts, markets, conservation and state hash as they are now."""
        return {
            "funds": {
                name: fund
                for settlement in self.settlements.values()
                for name, fund in report_funds(settlement).items()
            },
            "totals": {name: report_totals(settlement) for name, settlement in self.settlements.items()},
            "treasuries": {
                name: balance
                for settlement in self.settlements.values()
                for name, balance in report_treasuries(settlement).items()
            },
            "accounts": {name: report_accounts(shard) for name, shard in self.shards.items()},
            "markets": {
                name: market for shard in self.shards.values() for name, market in report_markets(shard).items()
            },
            "config": self._spec.config_hash,
            "conservation": self.residuals(),
            "state_hash": self.state_hash(),
        }

    def _machines(self) -> list[Shard | Settlement]:
        return [*self.shards.values(), *self.settlements.values()]

    def _pass_time(self, ts: int) -> list[Event]:
        """Let settlement see the end of a reconciliation period also when no claim tells it the time."""
        tick = ClockTick(ts=ts)
        events = [
            event
            for settlement in self.settlements.values()
            if ts >= settlement.period_end
            for event in settlement.apply(tick)
        ]
        self._period_end = min(settlement.period_end for settlement in self.settlements.values())
        return events

    def _to_all(self, command: ClockTick | ConfigSet) -> list[Event]:
        return [event for machine in self._machines() for event in machine.apply(command)]

    def _configure(self, command: ConfigSet) -> list[Event]:
        """Have every machine change its config, which all do or none; a shard or an asset that is new begins then."""
        events = self._to_all(command)
        self._spec = spec = compile_venue(self._first_shard.state.spec.config)
        for name, shard in spec.shards.items():
            if name not in self.shards:
                self.shards[name] = Shard(shard)
        for name, asset in spec.assets.items():
            if name not in self.settlements:
                self.settlements[name] = Settlement(spec, asset)
                events.extend(self.settlements[name].genesis())
        self._connect()
        return events

    def _connect(self) -> None:
        """Find out who answers what."""
        spec = self._spec
        self._shard_of_market = {market: self.shards[shard] for market, shard in spec.shard_of_market.items()}
        self._settlement_of_stream = {
            f"engine:{name}": self.settlements[shard.asset.name] for name, shard in spec.shards.items()
        }
        self._settlement_of_fund = {name: self.settlements[fund.asset.name] for name, fund in spec.funds.items()}
        self._period_end = min(settlement.period_end for settlement in self.settlements.values())

    def _by_market(self, command: Any) -> list[Event]:
        return self._shard_of_market.get(command.market, self._first_shard).apply(command)

    def _by_shard(self, command: AccountDeposit | AccountWithdraw | AccountCancelAfter | OrderCancelAll) -> list[Event]:
        return self.shards.get(command.shard, self._first_shard).apply(command)

    def _by_fund(self, command: FundCommand) -> list[Event]:
        return self._settlement_of_fund.get(command.fund, self._first_settlement).apply(command)

    def _settle(self, claim: Claim) -> list[Event]:
        return self._settlement_of_stream[claim.stream].apply(claim)

    def _decide(self, decision: AnyDecision) -> list[Event]:
        return self.shards[decision.shard].apply(decision)
