"""Measurements that a test run does not make: ``python -m benchmarks.<name>``."""
