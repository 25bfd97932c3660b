"""Words without a model: the label tree and what is read out of text."""
