"""Machines that are restored from the bytes of their state, beside those that were never stopped."""

import random
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from consumers.snapshots.packing import pack, unpack
from engine.conservation import check_settlement, check_shard
from engine.consistency import check_consistency
from engine.report import report_accounts, report_funds, report_markets, report_totals, report_treasuries
from engine.restoration import restore_settlement, restore_shard
from engine.rows import Row
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import compile_venue
from engine.venue import Venue
from schemas.claims import CLAIM_TYPES, DECISION_TYPES, Decision
from schemas.commands import ClockTick, Command, ConfigSet
from schemas.config import VenueConfig
from schemas.envelope import Event
from schemas.wire import decode_command, decode_event, encode

Machine = Shard | Settlement


def rows_of(machine: Machine) -> list[Row]:
    """All rows that a snapshot keeps, through their bytes."""
    packed, count = pack(chain(machine.rows(), machine.report_rows()))
    rows = list(unpack(packed))
    assert len(rows) == count
    return rows


def restored(machine: Machine) -> Machine:
    """What the bytes of a machine's state restore to, which agrees with itself and reports the same."""
    rows, state_hash = rows_of(machine), machine.state_hash()
    twin: Machine
    if isinstance(machine, Shard):
        twin = shard = restore_shard(machine.state.spec, rows, state_hash)
        check_shard(shard)
        check_consistency(shard)
    else:
        twin = settlement = restore_settlement(machine._funds.spec, machine.asset, rows, state_hash)
        check_settlement(settlement)
    assert list(chain(twin.rows(), twin.report_rows())) == list(chain(machine.rows(), machine.report_rows()))
    assert report(twin) == report(machine)
    return twin


def report(machine: Machine) -> list[dict[str, Any]]:
    """Everything that is reported of a machine."""
    if isinstance(machine, Shard):
        return [report_accounts(machine), report_markets(machine)]
    return [report_funds(machine), report_totals(machine), report_treasuries(machine)]


def restore_machines(venue: Venue) -> int:
    """Have every machine of a venue go on as what it restores to; how many there are."""
    machines: list[Machine] = [*venue.shards.values(), *venue.settlements.values()]
    for machine in machines:
        # The venue knows its machines, and their methods, in many places: what is in them is exchanged.
        vars(machine).update(vars(restored(machine)))
    return len(machines)


class Twins:
    """All machines of a venue, each beside a twin that was restored from it at some moment and gets the same inputs.

    Claims and decisions arrive as bytes: at once, or before each command with the chance `arrivals`.
    """

    def __init__(self, config: VenueConfig, seed: int, arrivals: float | None = None) -> None:
        self.spec = compile_venue(config)
        shards = [Shard(spec) for spec in self.spec.shards.values()]
        settlements = [Settlement(self.spec, asset) for asset in self.spec.assets.values()]
        self.machines: dict[str, Machine] = {machine.stream: machine for machine in (*shards, *settlements)}
        self.twins: dict[str, Machine] = {}
        self._on_the_way: dict[str, deque[Event]] = {stream: deque() for stream in self.machines}
        self._arrivals = 1.0 if arrivals is None else arrivals
        self._rng = random.Random(seed)
        for settlement in settlements:
            self._send(settlement.genesis())

    def restore(self) -> None:
        """Begin with new twins, all or some."""
        for stream, machine in self.machines.items():
            if self._rng.random() < 0.7:
                self.twins[stream] = restored(machine)

    def step(self, fields: dict[str, Any]) -> None:
        """A command at whomever it is for, and what arrives then."""
        command = decode_command(orjson.dumps(fields))
        for stream in self._receivers(command, fields):
            self._apply(stream, command)
        if isinstance(command, ConfigSet):
            self.spec = next(m._funds.spec for m in self.machines.values() if isinstance(m, Settlement))
            for name, shard in self.spec.shards.items():
                if f"engine:{name}" not in self.machines:
                    self._add(Shard(shard))
            for name, asset in self.spec.assets.items():
                if f"settlement:{name}" not in self.machines:
                    settlement = Settlement(self.spec, asset)
                    self._add(settlement)
                    self._send(settlement.genesis())
        for stream in self._to_come():
            self._apply(stream, self._on_the_way[stream].popleft())

    def _add(self, machine: Machine) -> None:
        self.machines[machine.stream] = machine
        self._on_the_way[machine.stream] = deque()

    def compare(self) -> None:
        """Each twin is what it was restored from, in every respect."""
        for stream, twin in self.twins.items():
            machine = self.machines[stream]
            assert twin.state_hash() == machine.state_hash(), stream
            assert list(twin.report_rows()) == list(machine.report_rows()), stream
            assert report(twin) == report(machine), stream
            if isinstance(twin, Shard):
                check_shard(twin)
                check_consistency(twin)
            else:
                check_settlement(twin)

    def _apply(self, stream: str, message: Any) -> None:
        events = self.machines[stream].apply(message)
        twin = self.twins.get(stream)
        if twin is not None:
            assert [encode(event) for event in twin.apply(message)] == [encode(event) for event in events], stream
        self._send(events)

    def _send(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, DECISION_TYPES):
                assert isinstance(event, Decision)
                self._on_the_way[f"engine:{event.shard}"].append(decode_event(encode(event)))
            elif isinstance(event, CLAIM_TYPES):
                asset = self.spec.shards[event.stream.removeprefix("engine:")].asset.name
                self._on_the_way[f"settlement:{asset}"].append(decode_event(encode(event)))

    def _to_come(self) -> Iterator[str]:
        while any(self._on_the_way.values()):
            for stream, waiting in self._on_the_way.items():
                if waiting:
                    if self._rng.random() >= self._arrivals:
                        return
                    yield stream

    def _receivers(self, command: Command, fields: dict[str, Any]) -> list[str]:
        engine, settlement = next(iter(self.spec.shards)), next(iter(self.spec.assets))
        if isinstance(command, ClockTick | ConfigSet):
            return list(self.machines)
        if command.topic == "fund-admin":
            fund = self.spec.funds.get(fields["fund"])
            return [f"settlement:{settlement if fund is None else fund.asset.name}"]
        if fields.get("shard") in self.spec.shards:
            return [f"engine:{fields['shard']}"]
        return [f"engine:{self.spec.shard_of_market.get(fields.get('market', ''), engine)}"]


def same_when_restored(config: VenueConfig, log: list[bytes]) -> set[object]:
    """Apply commands to a venue, and to one that is restored after each of them; the kinds of rows that came up."""
    plain, other = Venue(config), Venue(config)
    assert [encode(event) for event in plain.genesis()] == [encode(event) for event in other.genesis()]
    kinds: set[object] = set()
    for record in log:
        events = other.apply(decode_command(record))
        assert [encode(event) for event in plain.apply(decode_command(record))] == [encode(event) for event in events]
        restore_machines(other)
        assert other.report() == plain.report()  # the state hash is part of it
        kinds.update(
            row[0] for machine in (*plain.shards.values(), *plain.settlements.values()) for row in machine.rows()
        )
    return kinds
