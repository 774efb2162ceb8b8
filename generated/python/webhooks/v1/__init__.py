"""The messages and stubs of package webhooks.v1."""
