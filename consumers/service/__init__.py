"""The loop that runs a state machine over a log: inputs in one order, events and journal out, all or nothing.

Nothing here knows Kafka; `consumers.kafka` moves the bytes.
"""
