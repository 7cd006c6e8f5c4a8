"""The command line of `backstop ledger`: books event files, and says what the ledger holds then."""

from pathlib import Path

import click

from consumers.command_log import CommandLog
from consumers.ledger.balances import first_gaps, read_balances
from consumers.ledger.booking import Booking
from consumers.ledger.database import EXPECTED, Database
from consumers.ledger.postings import Postings
from consumers.ledger.report_check import compare, expected_balances
from consumers.ledger.summary import print_summary
from consumers.ledger.tables import create_tables
from consumers.printable import printable
from consumers.progress import InputProgress


@click.command(short_help="Book the postings of event files into SQLite or PostgreSQL.")
@click.argument("events", metavar="EVENTS...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", required=True, metavar="URL", help=f"The database: {EXPECTED}. $PGPASSWORD is understood.")
@click.option(
    "--check",
    "report",
    type=click.Path(path_type=Path),
    metavar="REPORT",
    help="Compare the balances with a replay's report.json afterwards; exit code 1 where one differs.",
)
def ledger(*, events: tuple[Path, ...], into: str, report: Path | None) -> None:
    """Book the postings of event files: the events.jsonl of a replay, plain, gzip or Zstandard.

    Makes the tables where they are missing. A posting that the database has is not booked again, so files may
    overlap, come again, or have been cut short; one that contradicts what is booked ends the run with exit code 2.
    """
    log = CommandLog(events)
    expected = None if report is None else expected_balances(report)
    database = Database(into)
    postings = Postings(log)
    booking = Booking()
    try:
        with InputProgress(log.bytes_total, "booking", "lines") as progress:
            for number, batch in enumerate(postings.batches()):
                with database.writing() as connection:
                    if number == 0:
                        create_tables(connection)  # not before there is something sound to book
                    booking.book(connection, batch)
                progress.advance(log.bytes_read, booking.booked.lines_new + booking.booked.lines_known)
            with database.writing() as connection:
                create_tables(connection)
            with database.reading() as connection:
                balances = read_balances(connection)
                gaps = first_gaps(connection)
            seconds = progress.seconds
    finally:
        database.close()
    comparison = None if expected is None else compare(expected, balances)
    print_summary(
        database=database.name,
        events=postings.events,
        booked=booking.booked,
        seconds=seconds,
        balances=balances,
        gaps=gaps,
        comparison=comparison,
    )
    for first in gaps.values():
        click.echo(f"Warning: postings before {printable(first)} are missing: balances are not whole", err=True)
    if not postings.events:
        click.echo("Warning: there was no event in what was given; is it an events.jsonl?", err=True)
    if comparison is not None and comparison.differences:
        number = len(comparison.differences)
        click.echo(f"Error: {number:,} of {comparison.compared:,} balances differ from the report", err=True)
        click.get_current_context().exit(1)
