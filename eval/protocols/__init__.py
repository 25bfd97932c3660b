"""Scoring protocols of VQA and reports, each a small pure module with its rules, sources and version."""
