"""A gRPC service that lets any system offer webhooks."""

__version__ = "0.1.0"
