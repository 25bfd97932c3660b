"""Synthetic images with exact regions, questions and reports, drawn from a seed."""
