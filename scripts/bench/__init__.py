"""Benchmarks whose figures stand in docs/benchmarks.md; not part of the wheel."""
