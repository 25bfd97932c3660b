"""Who finds: the core, open-vocabulary detectors, the truth, and what they found on disk."""
