"""Score records; no model is imported here."""
