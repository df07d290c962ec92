"""Where a caller is."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request


def address_of(request: Request) -> str:
    """The caller's address; of IPv6 the network of one customer, who can choose among all of its addresses.

    Those without one, such as callers through a socket file, count as one caller.
    """
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address.packed, 64), strict=False))
    return str(address)


Address = Annotated[str, Depends(address_of)]
