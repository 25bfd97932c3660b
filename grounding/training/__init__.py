"""How the core and the detectors are trained; the loop serves the language model, too."""
