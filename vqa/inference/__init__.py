"""From prompt to answer and record."""
