"""The shelves: every store of the ports, in memory and on SQL."""
