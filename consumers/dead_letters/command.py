"""The command line of `backstop dead-letters`: what services could not use, and sending it back after repair."""

import asyncio
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

import click

from consumers.dead_letters.letter import Letter, Place, check_command
from consumers.errors import UsageFailure
from consumers.kafka.dead_letters import DeadLetters, LostTrack
from consumers.kafka.duration import Duration
from consumers.kafka.options import kafka_options
from consumers.kafka.settings import ServiceConfig
from consumers.printable import display_name, printable
from schemas.wire import RECORD_BYTES_MAX

HEAD: Final = ("TIME (UTC)", "STREAM", "RECORD", "CODE", "BYTES", "REASON")


@click.group(short_help="Records that services could not use: list, show, send back after repair.")
def dead_letters() -> None:
    """Records that services could not use, with the reason and where they came from.

    A record is named by where it stood, TOPIC/PARTITION/OFFSET, as `list` prints it.
    """


@dead_letters.command("list", short_help="What could not be used, oldest first.")
@click.option("--stream", metavar="NAME", help="Only of this stream, like engine:usdt.")
@click.option("--topic", metavar="NAME", help="Only from this topic.")
@click.option("--code", metavar="CODE", help="Only for this reason, like malformed.")
@click.option("--since", metavar="TIME", help='Only from then on: a duration like "24h", or 2026-01-31T12:00 (UTC).')
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="The last N.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, with the bytes.")
@kafka_options
def list_letters(
    *,
    settings: ServiceConfig,
    stream: str | None,
    topic: str | None,
    code: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List dead letters: when, which stream, which record, why. Only what is committed is seen."""
    since_ms = None if since is None else _since(since)

    async def read() -> tuple[list[Letter], list[str], int]:
        newest: list[tuple[int, int, Letter]] = []
        strange, count = [], 0
        async with DeadLetters(settings) as everything:
            async for letter in everything.letters(since_ms):
                if isinstance(letter, str):
                    strange.append(letter)
                elif (
                    stream in (None, letter.stream)
                    and topic in (None, letter.place.topic)
                    and code in (None, letter.code)
                ):
                    count += 1
                    heappush(newest, (letter.buried_ms, count, letter))
                    if len(newest) > limit:
                        heappop(newest)
        return [letter for *_, letter in sorted(newest)], strange, count

    letters, strange, count = asyncio.run(read())
    for line in strange:
        click.echo(f"Warning: {printable(line)}", err=True)
    if as_json:
        for letter in letters:
            sys.stdout.buffer.write(letter.encode() + b"\n")
        return
    if letters:
        _print_table([HEAD, *(letter.row() for letter in letters)])
    if count > len(letters):
        click.echo(f"the last {len(letters):,} of {count:,}; --limit shows more", err=True)
    if not count:
        click.echo("no dead letters", err=True)


@dead_letters.command(short_help="One record, with its bytes.")
@click.argument("place", metavar="TOPIC/PARTITION/OFFSET")
@click.option("--raw", type=click.Path(path_type=Path), metavar="FILE", help="Write the bytes to FILE; - is stdout.")
@kafka_options
def show(*, settings: ServiceConfig, place: str, raw: Path | None) -> None:
    """Show a record that could not be used: all that is known of it, and its bytes as text or base64.

    Of a record of more than 1 MiB only the beginning was kept, with length and SHA-256 of the whole.
    """
    letter = asyncio.run(_find(settings, Place.parse(place)))
    if raw is None:
        sys.stdout.buffer.write(letter.encode() + b"\n")
        return
    if letter.is_cut:
        click.echo(f"Warning: these are the first {len(letter.raw):,} of {letter.size:,} bytes", err=True)
    if str(raw) == "-":
        sys.stdout.buffer.write(letter.raw)
        return
    try:
        raw.write_bytes(letter.raw)
    except OSError as error:
        raise UsageFailure(f"{display_name(raw)}: cannot be written: {error.strerror}") from None


@dead_letters.command(short_help="Send a record back to where it came from.")
@click.argument("place", metavar="TOPIC/PARTITION/OFFSET")
@click.option("--value", type=click.Path(path_type=Path), metavar="FILE", help="The repaired record; - is stdin.")
@click.option("--again", is_flag=True, help="Also if it was sent back before; does not look.")
@click.option("--even-if-quarantined", is_flag=True, help="Also a record that --quarantine set aside, unchanged.")
@kafka_options
def resubmit(
    *, settings: ServiceConfig, place: str, value: Path | None, again: bool, even_if_quarantined: bool
) -> None:
    """Send a record to the topic and partition it came from, with its key: repaired, or the same bytes.

    It must be a command that its topic takes, and must not have been sent back before: what was carries the header
    resubmitted_from, for which the partition is looked through. Two people who do this at the same moment do not see
    each other; order ids and transfer ids keep most commands from being applied twice, prices and ticks need no such
    care. It is applied when its turn comes, after all that has happened since.
    """
    source = Place.parse(place)
    repaired = None if value is None else _read(value)

    async def send() -> int:
        async with DeadLetters(settings) as topic:
            letter = await topic.find(source)
            if repaired is None and letter.is_cut:
                raise UsageFailure(
                    f"{source}: only {len(letter.raw):,} of {letter.size:,} bytes were kept: give --value"
                )
            if repaired is None and letter.code == "quarantined" and not even_if_quarantined:
                raise UsageFailure(
                    f"{source}: was set aside because the state machine cannot digest it, and unchanged it would end "
                    "the service again: give --value, or --even-if-quarantined when the cause is removed"
                )
            record = letter.raw if repaired is None else repaired
            now_us = time.time_ns() // 1_000
            check_command(record, source.topic, now_us=now_us, ahead_max_us=settings.service.ts_ahead.ms * 1_000)
            if not again:
                await _refuse_twice(topic, letter)
            return await topic.resubmit(letter, record)

    offset = asyncio.run(send())
    click.echo(f"{source} was sent again as {source.topic}/{source.partition}/{offset}")


async def _find(settings: ServiceConfig, place: Place) -> Letter:
    async with DeadLetters(settings) as topic:
        return await topic.find(place)


async def _refuse_twice(topic: DeadLetters, letter: Letter) -> None:
    place = letter.place
    try:
        before = await topic.resubmissions(letter)
    except LostTrack as lost:
        raise UsageFailure(
            f"{place}: whether it was sent back before cannot be told, as {lost}; --again sends it nevertheless"
        ) from None
    if before:
        where = ", ".join(f"{place.topic}/{place.partition}/{offset}" for offset in before)
        raise UsageFailure(f"{place}: was sent back before, as {where}; --again sends it once more")


def _read(path: Path) -> bytes:
    try:
        if str(path) == "-":
            value = sys.stdin.buffer.read(RECORD_BYTES_MAX + 2)
        else:
            with path.open("rb") as file:
                value = file.read(RECORD_BYTES_MAX + 2)
    except OSError as error:
        raise UsageFailure(f"{display_name(path)}: cannot be read: {error.strerror}") from None
    return value.removesuffix(b"\n")


def _since(text: str) -> int:
    """A moment in ms since the epoch, from how long ago it was or from a date and time in UTC."""
    try:
        return time.time_ns() // 1_000_000 - Duration.parse(text).ms
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(text)
        return int((date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, OverflowError):
        raise UsageFailure(f'--since {printable(text[:64])}: expected "24h", or 2026-01-31T12:00') from None


def _print_table(rows: Iterable[tuple[str, ...]]) -> None:
    table = list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD) - 1)]
    for row in table:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
