"""Scores and cases of one or several runs as one HTML file; plain data in, no model and no image reading here."""
