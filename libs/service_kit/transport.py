"""Events by HTTP: the transport of a stack without a broker."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from libs.service_kit.client import Refused, ServiceAccount, ServiceClient
from libs.service_kit.inbox import EVENTS_PATH


class HttpTransport:
    """Posts batches of CloudEvents to the subscribing service itself.

    The batch belongs to many traces, so the call makes no span of its own: each event has one, and takes its context along.
    """

    system = "http"

    def __init__(self, clients: Mapping[str, ServiceClient], account: ServiceAccount) -> None:
        self._clients = clients
        self._account = account

    async def send(self, destination: str, envelopes: Sequence[dict[str, Any]]) -> list[str | None]:
        """See `relay.Transport`."""
        with suppress_instrumentation():
            try:
                answer = await self._clients[destination].post(
                    EVENTS_PATH,
                    token=await self._account.token(),
                    json=list(envelopes),
                    content_type="application/cloudevents-batch+json",
                )
            except Refused as error:
                if error.status == 401:
                    self._account.forget()
                raise
        return answer["refusals"]
