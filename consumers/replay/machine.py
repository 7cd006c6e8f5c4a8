"""One state machine of a venue on its own, as far as it knows: what a journal brings forward."""

from typing import Any

from consumers.service.stream import Machine
from engine.conservation import check_settlement, check_shard, settlement_residual, shard_residual
from engine.consistency import check_consistency
from engine.report import report_accounts, report_funds, report_markets, report_totals, report_treasuries
from engine.settlement import Settlement
from engine.shard import Shard
from schemas.config import VenueConfig, config_hash


class OneEngine:
    """The engine of a shard."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    @property
    def config(self) -> VenueConfig:
        """The config as changes have left it."""
        return self._shard.config

    def residuals(self) -> dict[str, str]:
        """What is left over when the shard's money is added up; zero unless something is broken."""
        asset = self._shard.state.spec.asset
        return {asset.name: asset.text(shard_residual(self._shard))}

    def check(self) -> None:
        """Add up money and sizes. Raises InvariantBroken."""
        check_shard(self._shard)

    def check_consistency(self) -> None:
        """Compare all that the state keeps twice with a full scan. Raises InvariantBroken."""
        check_consistency(self._shard)

    def report(self) -> dict[str, Any]:
        """Accounts, markets, conservation and state hash as they are now."""
        return {
            "accounts": {self._shard.state.spec.name: report_accounts(self._shard)},
            "markets": report_markets(self._shard),
            "config_hash": config_hash(self.config),
            "conservation": self.residuals(),
            "state_hash": self._shard.state_hash(),
        }


class OneSettlement:
    """The settlement of an asset."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement

    @property
    def config(self) -> VenueConfig:
        """The config as changes have left it."""
        return self._settlement.config

    def residuals(self) -> dict[str, str]:
        """What the funds hold beyond what settlement ever received; zero unless something is broken."""
        asset = self._settlement.asset
        return {asset.name: asset.text(settlement_residual(self._settlement))}

    def check(self) -> None:
        """Add up money and reservations. Raises InvariantBroken."""
        check_settlement(self._settlement)

    def check_consistency(self) -> None:
        """A settlement keeps nothing twice but what `check` compares."""

    def report(self) -> dict[str, Any]:
        """Funds, their totals, conservation and state hash as they are now."""
        settlement = self._settlement
        return {
            "funds": report_funds(settlement),
            "totals": {settlement.asset.name: report_totals(settlement)},
            "treasuries": report_treasuries(settlement),
            "config_hash": config_hash(self.config),
            "conservation": self.residuals(),
            "state_hash": settlement.state_hash(),
        }


def alone(machine: Machine) -> OneEngine | OneSettlement:
    """A stream's machine, to be replayed on its own."""
    if isinstance(machine, Shard):
        return OneEngine(machine)
    assert isinstance(machine, Settlement)
    return OneSettlement(machine)
