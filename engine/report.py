"""The state in words: what reports and queries show of funds, accounts and markets. Decimals as strings."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from engine.adl_lights import Place, places
from engine.donations import usd_text
from engine.fund import PERIOD_FIELDS, Fund
from engine.margin import maintenance_margin, mark_value, unrealised_pnl
from engine.pool import bankruptcy_value, free_balance, liquidation_price
from engine.position import Position
from engine.settlement import Settlement
from engine.shard import Shard


def report_funds(settlement: Settlement) -> dict[str, Any]:
    """Every fund with its balance, reservations, credits and debits by cause since genesis, and past periods."""
    text = settlement.asset.text
    return {
        name: {
            "asset": settlement.asset.name,
            "opening": text(fund.spec.opening),
            **_report_sums(settlement, [fund]),
            "deficits": {market: text(amount) for market, amount in sorted(fund.deficits.items())},
            "history": [{field: getattr(period, field) for field in PERIOD_FIELDS} for period in fund.history],
        }
        for name, fund in settlement.funds.items()
    }


def report_totals(settlement: Settlement) -> dict[str, Any]:
    """What all funds of the asset come to. Money that one gave to another is in both credits and debits."""
    return {"funds": len(settlement.funds), **_report_sums(settlement, settlement.funds.values())}


def _report_sums(settlement: Settlement, funds: Collection[Fund]) -> dict[str, Any]:
    """What one fund or several have, in words."""
    text = settlement.asset.text
    credited, debited = _by_cause(fund.credited for fund in funds), _by_cause(fund.debited for fund in funds)
    donations = [fund.donations for fund in funds]
    return {
        "balance": text(sum(fund.purse.balance for fund in funds)),
        "reserved": text(sum(fund.reserved for fund in funds)),
        "available": text(sum(fund.available for fund in funds)),
        "pending_gains": text(sum(fund.gains.balance for fund in funds)),
        "pending_losses": text(-sum(fund.losses_due.balance for fund in funds)),
        "minimum": text(sum(fund.minimum for fund in funds)),
        "credited": text(sum(credited.values())),
        "debited": text(sum(debited.values())),
        "credited_by_cause": {cause: text(amount) for cause, amount in sorted(credited.items())},
        "debited_by_cause": {cause: text(amount) for cause, amount in sorted(debited.items())},
        "donations": {
            "count": sum(given.count for given in donations),
            "amount": text(sum(given.amount for given in donations)),
            "usd_value": usd_text(sum(given.cents for given in donations)),
            "unpriced": text(sum(given.unpriced for given in donations)),
        },
    }


def _by_cause(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for table in tables:
        for cause, amount in table.items():
            total[cause] = total.get(cause, 0) + amount
    return total


def report_treasuries(settlement: Settlement) -> dict[str, str]:
    """What lies outside of the funds as their counterpart, by the names of the ledger's accounts."""
    return {
        purse.name: settlement.asset.text(purse.balance)
        for purse in (settlement.treasury, *settlement.treasuries.values())
    }


def report_accounts(shard: Shard) -> dict[str, Any]:
    """Every account of a shard with its wallet and open positions, by name."""
    text = shard.state.spec.asset.text
    placed = {position: place for market in shard.state.markets.values() for position, place in places(market)}
    return {
        name: {
            "wallet": text(account.wallet.balance),
            "free": text(free_balance(account)),
            "open_orders": sum(len(position.orders) for position in account.positions.values()),
            "stop_orders": sum(len(position.stops) for position in account.positions.values()),
            "positions": {
                market: _report_position(position, placed.get(position))
                for market, position in sorted(account.positions.items())
                if position.sign
            },
        }
        for name, account in sorted(shard.state.accounts.items())
    }


def report_markets(shard: Shard) -> dict[str, Any]:
    """Every market of a shard with its mark, open interest, best prices and what is not settled yet."""
    text = shard.state.spec.asset.text
    markets = {}
    for name, market in shard.state.markets.items():
        spec = market.spec
        bid, ask = market.book.bids.best, market.book.asks.best
        markets[name] = {
            "shard": shard.state.spec.name,
            "mark_price": spec.ticks.text(market.mark) if market.mark else None,
            "best_bid": spec.ticks.text(bid.price) if bid is not None else None,
            "best_ask": spec.ticks.text(ask.price) if ask is not None else None,
            "trades": market.trades,
            "open_interest": spec.lots.text(
                sum(position.parcel.lots for position in market.positions.values() if position.sign > 0)
            ),
            "long_positions": sum(1 for position in market.positions.values() if position.sign > 0),
            "short_positions": sum(1 for position in market.positions.values() if position.sign < 0),
            "signed_qty_sum": spec.lots.text(
                sum(position.signed_lots for position in market.positions.values())
                + sum(residual.side * residual.parcel.lots for residual in market.residuals.values())
            ),
            "residual_qty": spec.lots.text(sum(residual.parcel.lots for residual in market.residuals.values())),
            "waiting_liquidations": sum(
                position.account.pool.waiting if position.is_cross else position.waiting
                for position in market.positions.values()
                if position.sign
            ),
            "waiting_funding_payments": market.funding.owing if market.funding is not None else 0,
            "deficit": text(-market.deficit.balance),
            "fees_held_by_shard": text(shard.state.fees.balance),
        }
    return markets


def _report_position(position: Position, place: Place | None) -> dict[str, Any]:
    spec = position.market.spec
    text = spec.asset.text
    parcel = position.parcel
    value = mark_value(position)
    return {
        "side": position.side,
        "qty": spec.lots.text(parcel.lots),
        "entry_price": spec.price_text(parcel.value, parcel.lots),
        "entry_value": text(parcel.value),
        "margin": text(position.margin.balance),
        "mode": position.mode,
        "leverage": position.leverage_text,
        "unrealised_pnl": text(unrealised_pnl(position)),
        "maintenance_margin": text(maintenance_margin(spec, value)),
        "liquidation_price": liquidation_price(position),
        "bankruptcy_price": spec.price_text(bankruptcy_value(position), parcel.lots),
        "adl": place
        and {
            "rank": place.rank,
            "ranked": place.ranked,
            "light": place.light,
            "notional_ahead": text(place.ahead),
        },
    }
