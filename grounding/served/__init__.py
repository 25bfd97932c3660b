"""Models behind an address: those that answer, and those that judge."""
