"""A venue settled in the coin: one inverse market of 1-USD contracts, margined, charged and settled in BTC."""

from engine.market import Market
from tests.engine.stage import Stage

COIN_MARKET = "BTC-USD"
COIN_TIERS = '[{ up_to = "100", initial = "0.01", maintenance = "0.005" }]'


def coin_toml(
    *,
    opening: str = "0",
    minimum: str = "0",
    tiers: str = COIN_TIERS,
    fund: str = "",
    market: str = "",
    limits: str = "",
    decimals: str = "8",
    tick: str = "0.5",
    lot: str = "1",
) -> str:
    """A venue with one inverse market and no fees; settings may be added to its tables."""
    return f"""
        [assets.BTC]
        decimals = {decimals}
        [limits]
        {limits}
        [funds.coin]
        asset = "BTC"
        opening = "{opening}"
        minimum = "{minimum}"
        {fund}
        [shards.coin]
        asset = "BTC"
        position_detail = true
        [markets.{COIN_MARKET}]
        shard = "coin"
        fund = "coin"
        contract = "inverse"
        tick = "{tick}"
        lot = "{lot}"
        tiers = {tiers}
        {market}
    """


class CoinStage(Stage):
    """The stage of the tests, with the inverse market on it."""

    market, shard, fund_name = COIN_MARKET, "coin", "coin"
    toml = staticmethod(coin_toml)

    @property
    def inside(self) -> Market:
        """The market as the engine holds it."""
        return self.venue.shards[self.shard].state.markets[self.market]
