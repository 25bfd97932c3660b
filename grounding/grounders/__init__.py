"""The grounders: the core, open-vocabulary detectors and the oracle, and the cache of their regions on disk."""
