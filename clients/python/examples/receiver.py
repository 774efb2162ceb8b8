"""Receives webhooks: verifies each request, and works on each event once.

Example: python receiver.py --secret whsec_… --port 8080
"""

import argparse
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from webhooks_client import Received, VerificationFailed, verify

MAX_BODY_BYTES = 3 * 1024 * 1024


class Inbox:
    """The events that came, each of them once."""

    def __init__(self) -> None:
        """Start empty."""
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def take(self, received: Received) -> None:
        """Work on an event, unless it came before: a sender that got no answer sends again.

        Here the ids are in memory. Keep yours in the database, in the transaction of the work.
        """
        with self._lock:
            if received.event_id in self._seen:
                return
            self._seen.add(received.event_id)
            body = received.body.decode(errors="replace")
            print(f"{received.event_type} {received.event_id} {body}", flush=True)


class Receiver(ThreadingHTTPServer):
    """An HTTP server that takes webhooks."""

    daemon_threads = True

    def __init__(self, port: int, secrets: list[str]) -> None:
        """Listen on this port of this machine; while a secret is rotated there are two."""
        super().__init__(("127.0.0.1", port), Exchange)
        self.secrets = secrets
        self.inbox = Inbox()


class Exchange(BaseHTTPRequestHandler):
    """The requests of one connection and their answers."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: Receiver

    def do_POST(self) -> None:
        """Answer quickly: a sender waits, and what takes long belongs into a queue."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        try:
            received = verify(body, self.headers, self.server.secrets)
        except VerificationFailed as problem:
            print(f"refused: {problem}", flush=True)
            self._answer(HTTPStatus.BAD_REQUEST)
            return
        self.server.inbox.take(received)
        self._answer(HTTPStatus.NO_CONTENT)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing for each request: the inbox does."""

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> None:
    """Receive until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secret", required=True, action="append", help="as the server gave it")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    options = parser.parse_args()
    receiver = Receiver(options.port, options.secret)
    print(f"listening on http://127.0.0.1:{receiver.server_port}/", flush=True)
    try:
        receiver.serve_forever()
    except KeyboardInterrupt:
        receiver.server_close()


if __name__ == "__main__":
    main()
