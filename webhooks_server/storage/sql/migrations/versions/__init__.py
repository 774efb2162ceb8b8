"""One file per schema revision. A released one never changes."""
