"""One file a corpus: source, licence, size, label origin and split rule stand in its docstring."""
