"""A trader in one shard: a wallet, a position per market, and the pool of those that are held in cross mode."""

from engine.position import Position
from engine.purse import Purse


class Pool:
    """The open cross positions of an account, which its wallet carries together; `positions` by market name.

    `left_residual` says whether the liquidation that is under way has left something to settlement. `stale` and
    `waiting` are what they are for an isolated position, which is a margin pool of its own.
    """

    __slots__ = ("account", "left_residual", "positions", "stale", "waiting")

    def __init__(self, account: "Account") -> None:
        self.account = account
        self.positions: dict[str, Position] = {}
        self.left_residual = False
        self.stale = False
        self.waiting = False


class Account:
    """`reserved` is what open orders and the initial margin of cross positions hold back, in units; `waiting` counts
    the margin pools queued for liquidation; `cancel_at` is when the dead-man switch goes off, 0 if it is not set."""

    __slots__ = ("cancel_at", "name", "pool", "positions", "reserved", "touched", "waiting", "wallet")

    def __init__(self, shard_name: str, name: str) -> None:
        self.name = name
        self.wallet = Purse(f"{shard_name}/wallet/{name}")
        self.positions: dict[str, Position] = {}
        self.pool = Pool(self)
        self.reserved = 0
        self.cancel_at = 0
        self.waiting = 0
        self.touched = False
