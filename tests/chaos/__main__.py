"""`python -m tests.chaos`: a campaign, and its report. Exit code 1 when a rule was broken."""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import click

from tests.chaos.report import render
from tests.chaos.run import Campaign, Plan
from tests.kafka.broker import Broker


@click.command()
@click.option("--kills", default=30, show_default=True, help="SIGKILLs of services and standbys.")
@click.option("--broker-kills", default=3, show_default=True, help="SIGKILLs of the broker.")
@click.option("--zombies", default=3, show_default=True, help="Leaders stopped until they have a successor.")
@click.option("--rate", default=300.0, show_default=True, help="Records per second.")
@click.option("--seed", default=1, show_default=True, help="Chance: of the load and of the blows.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder for logs; a temporary one if left out.")
def main(kills: int, broker_kills: int, zombies: int, rate: float, seed: int, keep: Path | None) -> None:
    """Kill everything again and again under load, then prove that nothing was lost and nothing was done twice."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says ten times a second that the broker is away
    plan = Plan(kills=kills, broker_kills=broker_kills, zombies=zombies, rate=rate, seed=seed)
    with tempfile.TemporaryDirectory(prefix="backstop-chaos-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        broker = Broker(log=folder / "broker.log")
        try:
            broker.start()
            outcome = asyncio.run(Campaign(plan, broker, folder, click.echo).run())
        finally:
            broker.stop()
    click.echo(render(plan, outcome))
    sys.exit(1 if outcome.failures else 0)


if __name__ == "__main__":
    main()
