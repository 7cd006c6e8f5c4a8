"""The reference model: the venue a second time, written from the contract for clarity and never for speed.

It keeps plain lists, scans all of them, and computes everything anew from what cannot be computed. It shares the wire
types of `schemas` with the engine and nothing else. Fed with the same commands, both must publish the same events, to
the byte. Reading order: `exact` (numbers), `rules` (the config), `stream` (events and money), `state`, `margin` (the
formulas), `book`, `fills`, `funding`, `matching`, `orders`, `waiting` (stop orders and timers), `transfers`,
`liquidation`, `inventory`, `deleveraging`, `changes` (of the config), `shard`, `fund`, `settlement`, `venue`; then
`worlds`, `histories` and `random_changes` (what is tried) and `compare`.
"""
