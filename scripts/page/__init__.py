"""From run folders to the page of `eval/page`."""
