"""Pools of cross positions as if trades had led to them, in markets of few and large units, for property tests."""

from typing import NamedTuple

from hypothesis import strategies as st

from engine.account import Account
from engine.market import Market
from engine.position import Parcel, Position
from engine.spec import MarketSpec, compile_venue
from schemas.config import VenueConfig, parse_config

_TIERS = {
    "A": '[{ up_to = "100000", initial = "0.2", maintenance = "0.1" }]',
    "B": """[{ up_to = "40", initial = "0.2", maintenance = "0.05" },
             { up_to = "150", initial = "0.5", maintenance = "0.2" },
             { up_to = "400", initial = "1", maintenance = "0.55" }]""",
    "C": """[{ up_to = "7", initial = "0.1", maintenance = "0.000000001" },
             { up_to = "20", initial = "0.9", maintenance = "0.7" },
             { up_to = "60", initial = "1", maintenance = "0.9" }]""",
}


def _config(contract: str) -> VenueConfig:
    markets = "".join(
        f"""
        [markets.{name}]
        shard = "s"
        fund = "f"
        contract = "{contract}"
        tick = "{"0.1" if contract == "inverse" else "1"}"
        lot = "{"50" if contract == "inverse" else "1"}"
        default_leverage = "1"
        default_mode = "cross"
        tiers = {tiers}
        """
        for name, tiers in _TIERS.items()
    )
    return parse_config(
        f'[assets.X]\ndecimals = 0\n[funds.f]\nasset = "X"\nopening = "0"\n[shards.s]\nasset = "X"\n{markets}'
    )


CONFIGS = {contract: _config(contract) for contract in ("linear", "inverse")}
SPECS: dict[str, dict[str, MarketSpec]] = {
    contract: dict(compile_venue(config).shards["s"].markets) for contract, config in CONFIGS.items()
}


class Part(NamedTuple):
    """A position: market, side, lots, entry value in units, mark in ticks, leverage in 10^-9."""

    market: str
    sign: int
    lots: int
    entry: int
    mark: int
    leverage: int = 10**9


def account_of(contract: str, wallet: int, parts: list[Part]) -> Account:
    """An account with these open cross positions, in this order."""
    account = Account("s", "alice")
    account.wallet.balance = wallet
    for part in parts:
        market = Market("s", SPECS[contract][part.market])
        market.mark = part.mark
        position = Position(account, market)
        position.sign = part.sign
        position.parcel = Parcel(part.lots, part.entry)
        position.leverage = part.leverage
        position.leverage_text = str(part.leverage / 10**9)
        account.positions[part.market] = position
        position.join_pool()
        position.refresh_reserve()
    return account


def _parts(contract: str, most: int) -> st.SearchStrategy[list[Part]]:
    part = st.builds(
        Part,
        st.sampled_from(list(_TIERS)),
        st.sampled_from([1, -1]),
        st.integers(1, 8),
        st.integers(0, 60),
        st.integers(1, 60),
        st.sampled_from([10**9, 2 * 10**9, 3_300_000_000]),
    )
    return st.lists(part, min_size=1, max_size=most, unique_by=lambda part: part.market)


def accounts(most: int = 3) -> st.SearchStrategy[tuple[str, Account]]:
    """A contract, and an account with one to `most` open cross positions."""
    return st.sampled_from(list(CONFIGS)).flatmap(
        lambda contract: st.tuples(
            st.just(contract), st.builds(account_of, st.just(contract), st.integers(-300, 300), _parts(contract, most))
        )
    )
