"""Models that read reports for the clinical scores of a run: what they need, and what they write into its records."""
