"""Pixels from PNG, JPEG and DICOM; patient fields stay behind."""
