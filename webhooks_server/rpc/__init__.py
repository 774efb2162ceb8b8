"""The front door: the contract of proto/webhooks/v1 served over gRPC."""
