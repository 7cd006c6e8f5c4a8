"""The model of the whole venue: what a machine claims or decides is applied by the other before the next command."""

from schemas.claims import CLAIM_TYPES, DECISION_TYPES, Claim, Decision
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
from tests.reference.rules import VenueRules
from tests.reference.settlement import SettlementModel
from tests.reference.shard import ShardModel


class VenueModel:
    """One command in, all that follows from it out."""

    def __init__(self, config: VenueConfig) -> None:
        self.rules = VenueRules(config)
        self.shards = {name: ShardModel(shard) for name, shard in self.rules.shards.items()}
        self.settlements = {name: SettlementModel(self.rules, asset) for name, asset in self.rules.assets.items()}

    def genesis(self) -> list[Event]:
        """What is published before the first command."""
        return [event for settlement in self.settlements.values() for event in settlement.genesis()]

    def apply(self, command: Command) -> list[Event]:
        """Periods that end are closed first; then the command; then claims and decisions as they were emitted."""
        events: list[Event] = []
        for settlement in self.settlements.values():
            if command.ts >= settlement.next_boundary:
                events.extend(settlement.apply(ClockTick(ts=command.ts)))
        for machine in self._addressed(command):
            events.extend(machine.apply(command))
        for event in events:  # what follows is appended while this goes on
            if isinstance(event, CLAIM_TYPES):
                assert isinstance(event, Claim)
                asset = self.rules.shards[event.stream.removeprefix("engine:")].asset
                events.extend(self.settlements[asset.name].apply(event))  # type: ignore[arg-type]
            elif isinstance(event, DECISION_TYPES):
                assert isinstance(event, Decision)
                events.extend(self.shards[event.shard].apply(event))  # type: ignore[arg-type]
        return events

    def _addressed(self, command: Command) -> list[ShardModel | SettlementModel]:
        """Where a command goes; what is unknown is answered by the first machine there is."""
        first_shard, first_settlement = next(iter(self.shards.values())), next(iter(self.settlements.values()))
        match command:
            case ClockTick():
                return [*self.shards.values(), *self.settlements.values()]
            case ConfigSet():
                return [first_shard]
            case AccountDeposit() | AccountWithdraw() | AccountCancelAfter() | OrderCancelAll():
                return [self.shards.get(command.shard, first_shard)]
            case FundDeposit() | FundWithdraw() | FundMinimum() | FundTransfer():
                fund = self.rules.funds.get(command.fund)
                return [first_settlement if fund is None else self.settlements[fund.asset.name]]
            case _:
                market: str = command.market  # type: ignore[attr-defined]
                shard = self.rules.shard_of_market.get(market)
                return [first_shard if shard is None else self.shards[shard]]
