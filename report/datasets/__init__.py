"""One file a corpus of reports: source, licence and split rule stand in its docstring."""
