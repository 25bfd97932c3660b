"""What a language model is given of the regions, the controls over it, and how it is rendered."""
