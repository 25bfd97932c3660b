"""Benchmarks that train several cores and compare them on the same images."""
