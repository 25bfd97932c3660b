"""Reports by what records hold in `meta`: labels, graphs, entailments, sub-scores."""
