"""How fast it is, as ratios of one run: `python -m benchmarks`, or `make bench`.

Every link here is made in scratch network namespaces. Nothing asserts on time:
docs/benchmarks.md says how to read the tables.
"""
