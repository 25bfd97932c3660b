"""Adapters of public layouts: files on disk to `Study`, one file a layout, and the phantoms."""
