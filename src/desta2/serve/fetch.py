"""A clip by URL, fetched so that a stranger's URL reaches only what the operator named.

A host has to be on the list. Its name is resolved once, every address is checked, and the connection goes to
the checked address, with the name kept for the Host header and the certificate: a name that resolves to
another address a moment later changes nothing. Redirects are not followed, proxies of the environment not
used, and content encodings refused, so that the size on the wire is the size in memory.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

import httpx2

from desta2.errors import InputError

_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 2048

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class FetchRules:
    """What may be fetched.

    Attributes:
        hosts: Names of hosts, each with a port where it is not the usual one ("files.example.com:8080"); a
            first "*." stands for any subdomain. Empty: nothing may.
        private: Whether these hosts may have addresses of this machine or of a private network.
        max_bytes: Of a file.
        seconds: For all of it, from resolving the name to the last byte.
    """

    hosts: tuple[str, ...] = ()
    private: bool = False
    max_bytes: int = 64 << 20
    seconds: float = 20.0


async def fetch(url: str, rules: FetchRules) -> bytes:
    """The content of a file by URL.

    Raises:
        InputError: The rules forbid it, or it cannot be had.
    """
    parsed, port = _checked(url, rules)
    try:
        async with asyncio.timeout(rules.seconds):
            address = await _address(parsed.host, port, rules)
            return await _content(parsed, address, port, rules)
    except TimeoutError:
        raise InputError(f"{parsed.host} did not send the clip within {rules.seconds:g} s") from None
    except httpx2.HTTPError as error:
        raise InputError(f"the clip cannot be fetched from {parsed.host}: {type(error).__name__}") from error


def is_public(address: Address) -> bool:
    """Whether an address, and any that is wrapped in it, is of the public internet."""
    return all(one.is_global and not one.is_multicast for one in _unwrapped(address))


def _checked(url: str, rules: FetchRules) -> tuple[httpx2.URL, int]:
    """The URL and its port, if its host is on the list."""
    if not rules.hosts:
        raise InputError("this server fetches no clips by URL; send the clip itself as input_audio")
    try:
        parsed = httpx2.URL(url[: _LONGEST_URL + 1])
        parsed.host.encode("ascii")
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise InputError(f"the clip's URL cannot be read: {error}") from None
    if parsed.scheme not in _PORTS or not parsed.host or len(url) > _LONGEST_URL:
        raise InputError(
            f"the clip's URL must start with http:// or https:// and be at most {_LONGEST_URL} long"
        )
    if parsed.userinfo:
        raise InputError("the clip's URL has a user name or password in it; give one without")
    host = parsed.host.lower().rstrip(".")
    port = parsed.port or _PORTS[parsed.scheme]
    full = host if port == _PORTS[parsed.scheme] else f"{host}:{port}"
    if not any(_fits(full, known.lower()) for known in rules.hosts):
        raise InputError(f"this server fetches no clips from {full[:200]}")
    return parsed, port


def _fits(host: str, known: str) -> bool:
    return host.endswith(known[1:]) if known.startswith("*.") else host == known


async def _address(host: str, port: int, rules: FetchRules) -> str:
    """An address of a host, all of whose addresses are allowed."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError(f"there is no host {host[:200]}") from None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not rules.private and not all(is_public(ipaddress.ip_address(address)) for address in addresses):
        raise InputError(
            f"{host[:200]} is no host of the public internet; this server fetches nothing from it"
        )
    return addresses[0]


def _unwrapped(address: Address) -> list[Address]:
    """An address and the IPv4 addresses that it carries: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in ipaddress.ip_network("64:ff9b::/96"):
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        return [one for one in inner if one is not None]  # the prefix itself counts as private in some tables
    return [address, *(one for one in inner if one is not None)]


async def _content(url: httpx2.URL, address: str, port: int, rules: FetchRules) -> bytes:
    usual = port == _PORTS[url.scheme]
    headers = {"Host": url.host if usual else f"{url.host}:{port}", "Accept-Encoding": "identity"}
    async with (
        httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=rules.seconds) as client,
        client.stream(
            "GET", url.copy_with(host=address), headers=headers, extensions={"sni_hostname": url.host}
        ) as response,
    ):
        if response.status_code != 200:
            hint = "; redirects are not followed" if response.is_redirect else ""
            raise InputError(f"{url.host} answered {response.status_code} to the clip's URL{hint}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise InputError(
                f"{url.host} sent the clip in a content encoding; it must send the file as it is"
            )
        content = bytearray()
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > rules.max_bytes:
                raise InputError(
                    f"the clip is larger than the {rules.max_bytes:,} bytes that this server fetches"
                )
        return bytes(content)
