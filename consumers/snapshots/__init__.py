"""Snapshots: the state of one machine in one file, and where such files are kept. Plain functions, no event loop."""
