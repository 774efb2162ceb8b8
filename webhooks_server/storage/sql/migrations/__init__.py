"""Alembic's environment; `migrating.py` is the way in."""
