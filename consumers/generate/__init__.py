"""`backstop generate`: a population of accounts that trades around a price path, as a command log.

Reading order: `bars` (a price path), `prices` (bars from a CSV), `scenarios` and `paths` (built-in bars),
`terms` (the market as traders see it), `account` (what an account can say), `alarms` and `allowance` (who
reacts when, and how often), `population` (who there is), `makers`, `takers`, `leveraged` (what they do),
`session` (all of it in time), `writer` (the file), `command` (the options).

The generator is open loop: it never runs the engine. Traders act on the mark price and on what they believe
to hold, as traders do whose screen is a moment behind. Everything is integer arithmetic on seeded dice, so
one seed gives one log on any machine.
"""
