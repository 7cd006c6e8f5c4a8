"""A trader in one shard: a wallet and a position per market."""

from engine.position import Position
from engine.purse import Purse


class Account:
    """`reserved` is what open orders hold back, in units; `waiting` counts positions queued for liquidation;
    `cancel_at` is when the dead-man switch goes off, 0 if it is not set."""

    __slots__ = ("cancel_at", "name", "positions", "reserved", "touched", "waiting", "wallet")

    def __init__(self, shard_name: str, name: str) -> None:
        self.name = name
        self.wallet = Purse(f"{shard_name}/wallet/{name}")
        self.positions: dict[str, Position] = {}
        self.reserved = 0
        self.cancel_at = 0
        self.waiting = 0
        self.touched = False

    @property
    def free_balance(self) -> int:
        """What can be withdrawn or moved: the wallet less what open orders hold back, never below zero.

        Unrealised profit does not count; isolated margin is apart already.
        """
        return max(0, self.wallet.balance - self.reserved)
