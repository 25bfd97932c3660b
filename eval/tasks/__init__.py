"""One file for each kind of record: records in, measures out."""
