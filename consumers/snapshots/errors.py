"""What can go wrong with snapshots."""


class DamagedSnapshot(ValueError):
    """A snapshot that cannot be used: cut off, changed, unreadable, of another format, or not what it says it is."""


class StoreFailure(RuntimeError):
    """The place where snapshots are kept did not do what was asked of it. One line that says what, where and why."""
