"""What can go wrong with snapshots."""


class DamagedSnapshot(ValueError):  # noqa: N818 -- reads as what happened
    """A snapshot that cannot be used: cut off, changed, unreadable, of another format, or not what it says it is."""


class StoreFailure(RuntimeError):  # noqa: N818 -- reads as what happened
    """The place where snapshots are kept did not do what was asked of it. One line that says what, where and why."""
