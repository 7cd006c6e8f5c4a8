"""`backstop replay`: engines and settlement in one process over a command log, to files and a summary.

`command` is the command line, `run` the loop, `outputs` the files; `tally` counts what passes, `report` and
`summary` say it.
"""
