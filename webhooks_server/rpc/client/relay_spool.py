"""Results that are not on record yet: kept until the server says that they are."""

import asyncio
from collections.abc import Iterable

from webhooks.v1 import relay_service_pb2 as pb

MAX_REPORTS = 100
MAX_BYTES = 1024 * 1024


class Spool:
    """Results in the order in which they came, and over which link each was sent last."""

    def __init__(self) -> None:
        """Begin with none."""
        self._reports: dict[str, pb.DeliveryReport] = {}
        self._leased: dict[str, object] = {}
        self._sent: dict[str, object] = {}
        self._unsent: dict[str, None] = {}
        self._wanted = asyncio.Event()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._reports)

    def put(self, report: pb.DeliveryReport, link: object) -> None:
        """Keep a result of what this link brought; another link may report it."""
        self._reports[report.lease_token] = report
        self._leased[report.lease_token] = link
        self._send_again(report.lease_token)

    async def take(self, link: object) -> list[pb.DeliveryReport]:
        """Wait for results that are to be sent; returns at least one, and no more than fit."""
        while not self._unsent:
            self._wanted.clear()
            await self._wanted.wait()
        taken: list[pb.DeliveryReport] = []
        size = 0
        for token in self._unsent:
            report = self._reports[token]
            size += report.ByteSize()
            if len(taken) == MAX_REPORTS or (taken and size > MAX_BYTES):
                break
            taken.append(report)
        for report in taken:
            del self._unsent[report.lease_token]
            self._sent[report.lease_token] = link
        return taken

    def acknowledged(self, token: str) -> None:
        """Forget a result: it is on record, or never will be."""
        self._reports.pop(token, None)
        self._leased.pop(token, None)
        self._sent.pop(token, None)
        self._unsent.pop(token, None)

    def send_again(self, tokens: Iterable[str]) -> None:
        """Have results sent once more that the server could not record now."""
        for token in tokens:
            if token in self._reports:
                self._send_again(token)

    def is_waiting_on(self, link: object) -> bool:
        """Tell whether anything that this link brought, or took, is not answered yet.

        A lease ends with the stream that brought it, also while another one carries its report.
        """
        return any(one is link for one in (*self._leased.values(), *self._sent.values()))

    def link_lost(self, link: object) -> None:
        """Have everything sent once more that went over this link without an answer."""
        self.send_again([token for token, sent_over in self._sent.items() if sent_over is link])

    def _send_again(self, token: str) -> None:
        self._sent.pop(token, None)
        self._unsent[token] = None
        self._wanted.set()
