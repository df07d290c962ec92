"""Where a caller is."""

from ipaddress import ip_network
from typing import Annotated

from fastapi import Depends, Request


def address_of(request: Request) -> str:
    """The caller's address; of IPv6 the network of one customer, who can choose among all of its addresses."""
    host = request.client.host if request.client else ""
    return str(ip_network((host, 64), strict=False)) if ":" in host else host


Address = Annotated[str, Depends(address_of)]
