"""Metrics as `evaluate.Metric` subclasses over records; never loaded by name."""
