"""Book a finished replay into both databases, PostgreSQL on a server of our own, and check each against the report.

`python -m tests.ledger DIR` for the DIR of the replay; `make month` ends with it.
"""

import sys
import tempfile
from pathlib import Path

import click

from consumers.ledger.command import ledger
from tests.ledger.postgres import PostgresServer


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(directory: Path) -> None:
    """Exit code 0 if both ledgers rebuild the report's balances to the unit."""
    server = PostgresServer()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for url in (f"sqlite:///{folder}/ledger.db", server.new_database().render_as_string(hide_password=False)):
                files = [str(directory / "events.jsonl"), "--check", str(directory / "report.json")]
                failed = ledger.main([*files, "--into", url], prog_name="backstop ledger", standalone_mode=False)
                if failed:  # click hands an exit code back where it does not exit itself
                    sys.exit(failed)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
