"""Boxes, masks and heat maps against true regions."""
