"""Writes docs/venue-examples.md; with --check writes nothing and exits 1 if it is stale."""

import click

from tests.venues.page import DOCUMENT, page


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the page is stale.")
def main(check: bool) -> None:
    """Write docs/venue-examples.md from the examples and our answers."""
    if not check:
        DOCUMENT.write_text(page(), "utf-8")
    elif DOCUMENT.read_text("utf-8") != page():
        raise click.ClickException(f"{DOCUMENT} is stale: run python -m tests.venues")


if __name__ == "__main__":
    main()
