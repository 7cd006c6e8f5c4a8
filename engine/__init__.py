"""The pure core of Backstop: commands in, events out.

One noun per file. Reading order: `fixed` (exact numbers), `contract` (what a quantity is worth), `spec` (the config in
integers), `purse` (money), `book` (price-time priority), `position` and `account` (what traders hold), `margin` and
`pool` (the formulas, of one position and of an account), `fills` (what one trade does to a position), `matching`,
`rules` and `orders`, `stops` and `timers` (orders that wait), `funding` (one side pays the other), `triggers` and
`bands` (whom a mark concerns), `liquidation` and `closing`, `takeover`, `adl`, `last_resort` (who pays), `shard` (one
engine), `fund` and `settlement` (the insurance funds), `venue` (all of them together).

Nothing here reads a clock, a file, the environment or a random number; a test keeps it that way.
"""
