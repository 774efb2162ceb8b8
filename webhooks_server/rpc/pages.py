"""Pages of a List: what is asked for, and what fits into one answer."""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from webhooks.v1 import delivery_service_pb2 as delivery_pb
from webhooks.v1 import event_service_pb2 as event_pb
from webhooks.v1 import subscription_service_pb2 as subscription_pb
from webhooks_server.domain.errors import invalid
from webhooks_server.domain.paging import Page, PageRequest, page_size
from webhooks_server.rpc.tokens import PageTokens

MAX_PAGE_BYTES = 2 * 1024 * 1024
"""Well below the 4 MiB that clients take unless told otherwise."""

ListRequest = (
    subscription_pb.ListSubscriptionsRequest
    | event_pb.ListEventsRequest
    | event_pb.ExplainMatchRequest
    | delivery_pb.ListDeliveriesRequest
    | delivery_pb.ListDeliveryAttemptsRequest
)
Item = TypeVar("Item")
Shown = TypeVar("Shown", bound=Message)


class Pages:
    """Reads page requests and fills pages."""

    def __init__(self, tokens: PageTokens) -> None:
        """Take what makes and reads tokens."""
        self._tokens = tokens

    def read(self, request: ListRequest) -> PageRequest:
        """Return which page is asked for; raises InvalidArgument."""
        if request.page_size < 0:
            raise invalid("page_size", "must not be negative")
        before = self._tokens.read(request, request.page_token)
        return PageRequest(size=page_size(request.page_size), before=before)

    def fill(
        self,
        request: ListRequest,
        page: Page[Item],
        shown: Callable[[Item], Shown],
        key: Callable[[Item], int],
    ) -> tuple[list[Shown], str]:
        """Return the items that fit into an answer, and the token of the next page."""
        messages: list[Shown] = []
        size = 0
        for position, item in enumerate(page.items):
            message = shown(item)
            size += message.ByteSize()
            if messages and size > MAX_PAGE_BYTES:
                return messages, self._tokens.issue(request, key(page.items[position - 1]))
            messages.append(message)
        return messages, self._tokens.issue(request, page.next_before)
