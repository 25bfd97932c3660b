"""Benchmarks of many callers at once."""
