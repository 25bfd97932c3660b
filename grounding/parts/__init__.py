"""Work in parts: cut here alone, and done by one process, by several, by Ray, or by one call on each machine."""
