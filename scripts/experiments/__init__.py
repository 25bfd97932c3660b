"""Questions put to several runs: ablations, alignment, leaks."""
