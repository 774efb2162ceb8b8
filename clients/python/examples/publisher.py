"""Publishes one event.

Example: python publisher.py invoice.paid '{"number": 17}'
"""

import argparse
import sys

from webhooks_client import RawJson, WebhooksClient, WebhooksError


def main() -> None:
    """Publish what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("event_type", help="such as invoice.paid")
    parser.add_argument("data", nargs="?", default="{}", help="JSON text, sent as it is")
    parser.add_argument("--event-id", help="publish the same again: it is stored once")
    parser.add_argument("--server", default="127.0.0.1:50051")
    options = parser.parse_args()

    with WebhooksClient(options.server) as client:
        try:
            published = client.publish(
                options.event_type, RawJson(options.data), event_id=options.event_id
            )
        except WebhooksError as error:
            sys.exit(f"not published: {error}")
    known = " was stored before, and" if published.duplicate else ""
    print(f"{published.event}{known} goes to {published.matched_subscription_count} subscriptions")


if __name__ == "__main__":
    main()
