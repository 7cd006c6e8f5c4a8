"""Why was I closed? The story of one liquidation, or of all that was done to one account, read off the events.

Nothing is computed again: what is told was published, and every formula is printed only where it gives what was
published. Events are read once, from the first to the last, and only what concerns the question is kept.
"""
