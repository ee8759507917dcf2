"""Measurements that a test run does not make: ``python -m benchmarks --help``, from a checkout."""
