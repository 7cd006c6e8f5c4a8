"""Benchmarks. `make bench` runs them; results that the README quotes are committed under results/."""
