"""The regions in a prompt: where they come from, the controls over them, and how they are rendered."""
