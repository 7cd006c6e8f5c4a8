"""A trader in one shard: a wallet, a position per market, and the pool of those that are held in cross mode."""

from engine.position import Position
from engine.purse import Purse


class Pool:
    """The open cross positions of an account, which its wallet carries together; `positions` by market name.

    `left_residual` says whether the liquidation that is under way has left something to settlement. `stale` and
    `waiting` are what they are for an isolated position, which is a margin pool of its own. `free_profit` says whether
    unrealised profit counts as free balance.
    """

    __slots__ = ("account", "free_profit", "left_residual", "positions", "stale", "waiting")

    def __init__(self, account: "Account", *, free_profit: bool) -> None:
        self.account = account
        self.free_profit = free_profit
        self.positions: dict[str, Position] = {}
        self.left_residual = False
        self.stale = False
        self.waiting = False

    def counted(self, profit: int) -> int:
        """What of a position's uPnL the free balance counts, in units."""
        return profit if profit < 0 or self.free_profit else 0


class Account:
    """`reserved` is what open orders and the initial margin of cross positions hold back, in units; `waiting` counts
    the margin pools queued for liquidation; `cancel_at` is when the dead-man switch goes off, 0 if it is not set."""

    __slots__ = ("cancel_at", "name", "pool", "positions", "reserved", "touched", "waiting", "wallet")

    def __init__(self, shard_name: str, name: str, *, free_profit: bool = False) -> None:
        self.name = name
        self.wallet = Purse(f"{shard_name}/wallet/{name}")
        self.positions: dict[str, Position] = {}
        self.pool = Pool(self, free_profit=free_profit)
        self.reserved = 0
        self.cancel_at = 0
        self.waiting = 0
        self.touched = False
