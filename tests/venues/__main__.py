"""Writes the pages of published examples; with --check writes nothing and exits 1 if one is stale."""

import click

from tests.venues import page as prices
from tests.venues.settlement import page as settlement

PAGES = ((prices.DOCUMENT, prices.page), (settlement.DOCUMENT, settlement.page))


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a page is stale.")
def main(check: bool) -> None:
    """Write docs/venue-examples.md and docs/settlement-examples.md from the examples and our answers."""
    for document, page in PAGES:
        if not check:
            document.write_text(page(), "utf-8")
        elif not document.exists() or document.read_text("utf-8") != page():
            raise click.ClickException(f"{document} is stale: run python -m tests.venues")


if __name__ == "__main__":
    main()
