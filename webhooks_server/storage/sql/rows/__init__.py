"""Rows as domain objects and back: the only place that knows both."""
