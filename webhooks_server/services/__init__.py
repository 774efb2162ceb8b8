"""Use cases over ports: what the front door asks for, with no I/O of their own."""

from webhooks_server.services.bundle import Services, ServicesConfig, build_services

__all__ = ["Services", "ServicesConfig", "build_services"]
