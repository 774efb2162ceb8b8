"""Generated code of the contract: `from webhooks.v1 import publisher_service_pb2`."""
