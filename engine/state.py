"""The state of one engine, and what every part of it does to it: find, emit, touch, sum up."""

from engine.account import Account, Pool
from engine.market import Market
from engine.outbox import Outbox
from engine.pool import bankruptcy_value, liquidation_price
from engine.position import Position
from engine.purse import Ledger, Purse
from engine.remembered import Remembered
from engine.residual import Residual
from engine.spec import ShardSpec
from engine.stops import StopOrder
from schemas.claims import Claim, FeeShareAccrued
from schemas.envelope import Event
from schemas.events import AccountUpdated, PositionUpdated
from schemas.fields import PositionSide

POSITION_SIDES: dict[int, PositionSide] = {1: "long", 0: "flat", -1: "short"}


class ShardState:
    """Accounts, markets and money of one shard.

    `waiting` are margin pools to be liquidated that the cap of an earlier command left over, in their order;
    `stale_pools` those of accounts that changed since the last mark of any market, which `marks` counts; `triggered`
    are stop orders whose price has come, with that price; `printed` the markets whose last price stop orders wait for
    and that have traded. `fee_shares` is what of this command's trading fees goes to the funds, by market.
    `funding` are the markets whose round of funding runs, in the order in which the rounds began; `payers` are
    positions that paid and have not been looked at since: they may be due for liquidation. `open_residuals` counts
    questions that settlement has not answered. `transit` is what was ever sent to settlement, net; `external` is minus
    what came in from outside, net. `queued` are the markets that have ADL queues;
    `lights_at` is when the next ADL lights of any market are due.
    """

    __slots__ = (
        "_touched_accounts",
        "_touched_positions",
        "accounts",
        "claims",
        "closed_orders",
        "emit",
        "external",
        "fee_shares",
        "fees",
        "funding",
        "funding_left",
        "ledger",
        "lights_at",
        "liquidations",
        "liquidations_left",
        "markets",
        "marks",
        "open_residuals",
        "outbox",
        "payers",
        "period_end",
        "printed",
        "queued",
        "spec",
        "stale_pools",
        "stops_left",
        "timers",
        "transfers",
        "transit",
        "triggered",
        "waiting",
    )

    def __init__(self, spec: ShardSpec) -> None:
        self.spec = spec
        self.accounts: dict[str, Account] = {}
        self.markets = {name: Market(spec.name, market) for name, market in spec.markets.items()}
        self.ledger = Ledger(spec.asset)
        self.outbox = Outbox(f"engine:{spec.name}")
        self.emit = self.outbox.emit
        self.external = Purse(f"{spec.name}/external")
        self.fees = Purse(f"{spec.name}/fees")
        self.transit = Purse(f"transit/{spec.name}")
        self.claims = 0
        self.lights_at = 0
        self.liquidations = 0
        self.liquidations_left = 0
        self.open_residuals = 0
        self.fee_shares: dict[str, int] = {}
        self.funding: list[Market] = []
        self.funding_left = 0
        self.payers: list[Position] = []
        self.period_end = 0
        self.stops_left = 0
        self.printed: list[Market] = []
        self.triggered: list[tuple[StopOrder, int]] = []
        self.timers: list[tuple[int, str, str, str]] = []
        self.marks = 0
        self.stale_pools: list[Pool] = []
        self.queued: list[Market] = []
        self.waiting: list[Position | Pool] = []
        self.transfers = Remembered(spec.limits.transfer_memory)
        self.closed_orders = Remembered(spec.limits.closed_order_memory)
        self._touched_positions: list[Position] = []
        self._touched_accounts: list[Account] = []

    @property
    def now(self) -> int:
        """Event time in µs."""
        return self.outbox.event_time

    def claim(self, event: Claim) -> None:
        """Publish an event that settlement acts on, under the next claim number."""
        self.claims += 1
        event.claim = self.claims
        self.outbox.emit(event)

    def ask(self, residual: Residual) -> None:
        """Open the next question about a residual, which the caller puts to settlement."""
        residual.round += 1
        residual.is_open = True
        self.open_residuals += 1

    def position(self, account: Account, market: Market) -> Position:
        """The account's position in the market, made when it is first needed."""
        position = account.positions.get(market.spec.name)
        if position is None:
            position = Position(account, market)
            self.register(position)
        return position

    def register(self, position: Position) -> None:
        """Make a position known to its account and market, which it is from the first accepted command on."""
        position.is_known = True
        position.account.positions[position.market.spec.name] = position
        position.market.positions[position.account.name] = position

    def touch(self, position: Position) -> None:
        """Have the position and its wallet, which may carry cross positions, published at the end of the command."""
        if not position.touched:
            position.touched = True
            self._touched_positions.append(position)
        if position.account.pool.positions:
            self.make_pool_stale(position.account.pool)

    def touch_account(self, account: Account) -> None:
        """Have the wallet published at the end of the command, unless a position carries it."""
        if not account.touched:
            account.touched = True
            self._touched_accounts.append(account)
        if account.pool.positions:
            self.make_pool_stale(account.pool)

    def make_stale(self, position: Position) -> None:
        """Have the position's liquidation trigger computed anew at the next mark, and its ADL rank when it matters."""
        for queue in position.market.adl_queues.values():
            queue.note_change(position)
        if not position.stale:
            position.stale = True
            position.market.stale.append(position)

    def make_pool_stale(self, pool: Pool) -> None:
        """Have the account's cross positions judged, and placed in the trigger indexes anew, at the next mark.

        Their ADL ranks change with the account's equity, too.
        """
        if self.queued:
            for position in pool.positions.values():
                for queue in position.market.adl_queues.values():
                    queue.note_change(position)
        if not pool.stale:
            pool.stale = True
            self.stale_pools.append(pool)

    def realise(self, position: Position, amount: int) -> None:
        """Count PnL as realised by this command and in this reconciliation period."""
        if amount:
            position.realised_in_command += amount
            realised = position.market.realised
            name = position.account.name
            realised[name] = realised.get(name, 0) + amount

    def finish_command(self) -> list[Event]:
        """Publish what the command left behind, summed up per position and account; return all its events."""
        if self.fee_shares:
            self._claim_fee_shares()
        for position in self._touched_positions:
            self.emit(self._describe(position))
            position.touched = False
            position.realised_in_command = 0
        if self._touched_accounts:
            carried = {position.account.name for position in self._touched_positions}
            for account in self._touched_accounts:
                account.touched = False
                if account.name not in carried:
                    wallet = self.spec.asset.text(account.wallet.balance)
                    self.emit(AccountUpdated(shard=self.spec.name, account=account.name, wallet=wallet))
            self._touched_accounts.clear()
        self._touched_positions.clear()
        if self.ledger.lines:
            self.outbox.post(self.ledger, self.spec.asset)
        return self.outbox.take()

    def _claim_fee_shares(self) -> None:
        for name, amount in self.fee_shares.items():
            fund = self.markets[name].spec.fund
            self.ledger.move(self.fees, self.transit, amount, "fee_share")
            self.claim(FeeShareAccrued(market=name, fund=fund.name, amount=self.spec.asset.text(amount)))
        self.fee_shares.clear()

    def _describe(self, position: Position) -> PositionUpdated:
        spec = position.market.spec
        amount = spec.asset.text
        parcel = position.parcel
        event = PositionUpdated(
            market=spec.name,
            account=position.account.name,
            side=POSITION_SIDES[position.sign],
            qty=spec.lots.text(parcel.lots),
            entry_value=amount(parcel.value),
            margin=amount(position.margin.balance),
            mode=position.mode,
            leverage=position.leverage_text,
            realised_pnl=amount(position.realised_in_command),
            wallet=amount(position.wallet.balance),
        )
        if self.spec.position_detail:
            event.entry_price = spec.price_text(parcel.value, parcel.lots)
            event.liquidation_price = liquidation_price(position)
            event.bankruptcy_price = spec.price_text(bankruptcy_value(position), parcel.lots)
        return event
