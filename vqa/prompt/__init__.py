"""From an example to what the model reads."""
