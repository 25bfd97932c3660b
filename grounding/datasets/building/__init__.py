"""Region sets become one set on disk: manifest, harmonised labels, plan, copies, card."""
