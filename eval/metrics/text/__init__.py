"""Reports by words in common with their references."""
