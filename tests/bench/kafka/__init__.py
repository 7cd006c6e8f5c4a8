"""Throughput and latency of the services over a real broker, beside a service that does the same and decides nothing.

Broker, service, load generator and reader are four processes. On a machine of two cores they compete: what is
measured is the whole installation on that machine, not what a service could do beside brokers of their own.
"""
