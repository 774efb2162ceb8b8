"""Nouns and decisions: plain values and pure functions, standard library only, no I/O."""
