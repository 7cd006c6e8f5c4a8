"""`backstop ledger`: the postings of event files, booked into tables of SQLite or PostgreSQL.

`command` is the command line; `postings` reads and checks what comes in, `chart` knows the accounts, `booking` writes
each posting once; `tables` and `database` are the SQL side; `balances` and `report_check` say what the ledger holds.
"""
