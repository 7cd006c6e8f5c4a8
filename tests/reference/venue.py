"""The model of the whole venue: what a machine claims or decides is applied by the other before the next command."""

from schemas.claims import CLAIM_TYPES, DECISION_TYPES, Decision
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

Machine = ShardModel | SettlementModel


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
        for machine in self.addressed(command):
            events.extend(machine.apply(command))
        if isinstance(command, ConfigSet):
            events.extend(self._grow())
        for event in events:  # what follows is appended while this goes on
            if isinstance(event, (*CLAIM_TYPES, *DECISION_TYPES)):
                events.extend(self.receiver(event).apply(event))
        return events

    def take_rules(self) -> VenueRules:
        """Go by the config that the machines have by now."""
        venue = next(iter(self.shards.values())).shard.rules.venue
        assert venue is not None
        self.rules = venue
        return venue

    def _grow(self) -> list[Event]:
        """What a change of the config has added begins."""
        venue = self.take_rules()
        for name, shard in venue.shards.items():
            self.shards.setdefault(name, ShardModel(shard))
        added = [name for name in venue.assets if name not in self.settlements]
        self.settlements |= {name: SettlementModel(venue, venue.assets[name]) for name in added}
        return [event for name in added for event in self.settlements[name].genesis()]

    def machines(self) -> list[Machine]:
        """All there are, in the order in which a clock tick reaches them."""
        return [*self.shards.values(), *self.settlements.values()]

    def receiver(self, event: Event) -> Machine:
        """Who acts on a claim or a decision."""
        if isinstance(event, Decision):
            return self.shards[event.shard]
        return self.settlements[self.rules.shards[event.stream.removeprefix("engine:")].asset.name]

    def addressed(self, command: Command) -> list[Machine]:
        """Where a command goes; what is unknown is answered by the first machine there is."""
        first_shard, first_settlement = next(iter(self.shards.values())), next(iter(self.settlements.values()))
        match command:
            case ClockTick() | ConfigSet():
                return self.machines()
            case AccountDeposit() | AccountWithdraw() | AccountCancelAfter() | OrderCancelAll():
                return [self.shards.get(command.shard, first_shard)]
            case FundDeposit() | FundWithdraw() | FundMinimum() | FundTransfer():
                fund = self.rules.funds.get(command.fund)
                return [first_settlement if fund is None else self.settlements[fund.asset.name]]
            case _:
                market: str = command.market  # type: ignore[attr-defined]
                shard = self.rules.shard_of_market.get(market)
                return [first_shard if shard is None else self.shards[shard]]
