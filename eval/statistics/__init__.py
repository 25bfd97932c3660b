"""Measures as sums over clusters; intervals, tests and rankings over them."""
