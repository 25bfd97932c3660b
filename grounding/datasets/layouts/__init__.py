"""One reader for each layout in which region sets are published."""
