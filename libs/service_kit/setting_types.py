"""The types of settings: what a value has to be, in words that stand behind the variable's name in one line."""

import os
import re
import ssl
from collections.abc import Mapping
from functools import partial
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, HttpUrl, SecretStr


def _encodable(secret: SecretStr) -> SecretStr:
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("is not encoded in UTF-8") from None
    return secret


Secret = Annotated[SecretStr, Field(max_length=1000), AfterValidator(_encodable)]
"""Any characters."""


def _base(url: HttpUrl) -> HttpUrl:
    if not re.fullmatch(r"https?://[^/?#@]+/?", str(url)):
        raise ValueError("must be http://HOST:PORT, without a path, a query or a user")
    return url


BaseUrl = Annotated[HttpUrl, AfterValidator(_base)]


def _networks(value: str) -> str:
    networks = [each.strip() for each in value.split(",")] if value else []
    try:
        for each in networks:
            ip_network(each)
    except ValueError:
        raise ValueError("must be addresses or networks, with commas between them") from None
    return ",".join(networks)


Networks = Annotated[str, AfterValidator(_networks)]
"""Addresses and networks, with commas between them; empty for none."""


def check_certificates(options: Mapping[str, str]) -> None:
    """Raise `ValueError` unless what a broker's URL says about certificates can be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    key = options.get("keyfile")
    uses = {
        "cafile": context.load_verify_locations,
        "capath": os.listdir,
        "certfile": partial(context.load_cert_chain, keyfile=key, password=""),  # else it would ask for one
        "no_verify_ssl": {"0": False, "1": True}.__getitem__,  # aiormq takes any other word for a yes
    }
    for name in uses.keys() & options.keys():
        try:
            uses[name](options[name])
        except (OSError, KeyError) as error:
            raise ValueError(f"{name} cannot be used: {getattr(error, 'strerror', '') or error}") from None
