"""A trained system answers: one image, a data set, a report."""
