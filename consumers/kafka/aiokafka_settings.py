"""What has to be set right in aiokafka itself, as it cannot be given as an option. Imported before a producer is made.

`BACKOFF_OVERRIDE`: a broker answers the end of a transaction before its markers are written, and the next one's first
request is then told to come again; aiokafka sleeps that long before it does. The default of 20 ms would be most of a
commit.

`increment_sequence_number`: a broker counts the records of a producer and partition modulo 2^31. aiokafka 0.14 goes on
at −2^31 instead, which the broker refuses: a producer that never restarts would fail after 2,147,483,648 records.
"""

from typing import Final

from aiokafka.producer import sender, transaction_manager

COMMIT_BACKOFF_SECONDS: Final = 0.002
SEQUENCES: Final = 2**31


def _increment(self: transaction_manager.TransactionManager, partition: object, increment: int) -> None:
    numbers = self._sequence_numbers
    numbers[partition] = (numbers[partition] + increment) % SEQUENCES


def apply() -> None:
    """Set them. Fails where a later aiokafka has no such names any more: then this module has to be looked at again."""
    for holder, name in (
        (sender, "BACKOFF_OVERRIDE"),
        (transaction_manager.TransactionManager, "increment_sequence_number"),
    ):
        if not hasattr(holder, name):
            raise RuntimeError(f"this version of aiokafka has no {holder.__name__}.{name}; expected 0.14")
    sender.BACKOFF_OVERRIDE = COMMIT_BACKOFF_SECONDS
    transaction_manager.TransactionManager.increment_sequence_number = _increment
