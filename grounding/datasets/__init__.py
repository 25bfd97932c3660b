"""Adapters of public layouts: files on disk to `AnnotatedImage`, one file a layout, and the phantoms."""
