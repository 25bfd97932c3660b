"""The first ten minutes: what the installation can do, what a core knows, recipes to start from."""
