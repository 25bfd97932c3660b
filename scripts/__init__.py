"""The one command `medglip`: parse, call, show. No logic of its own."""
