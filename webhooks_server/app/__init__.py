"""The composition root: puts the rooms together, and runs them from start to stop.

Each module is imported by who needs it: not every command needs gRPC.
"""
