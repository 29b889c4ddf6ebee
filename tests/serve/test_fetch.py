"""Clips by URL: only from hosts on the list, at public addresses, within the limits."""

import asyncio
import ipaddress
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.serve import fetch as module
from desta2.serve.fetch import FetchRules, fetch, is_public


class Files(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"]))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/clip")
            self.end_headers()
        elif self.path == "/none":
            self.send_error(404)
        else:
            self.send_response(200)
            if self.path == "/zipped":
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.send_body()

    def send_body(self):
        pieces = {"/clip": [b"RIFF"], "/endless": [b"x" * 1000] * 10_000, "/slow": [b"x"] * 100}
        try:
            for piece in pieces.get(self.path, [b""]):
                self.wfile.write(piece)
                if self.path == "/slow":
                    time.sleep(0.1)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def files():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def rules(server, **options):
    return FetchRules((f"localhost:{server.server_port}",), **{"private": True, **options})


def get(url, rules):
    return asyncio.run(fetch(url, rules))


def url(server, path):
    return f"http://localhost:{server.server_port}{path}"


def test_a_clip_is_fetched_from_a_host_on_the_list(files):
    assert get(url(files, "/clip"), rules(files)) == b"RIFF"
    assert files.asked == [("/clip", f"localhost:{files.server_port}")]


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("/moved", {}, "answered 302 to the clip's URL; redirects are not followed"),
        ("/none", {}, "answered 404"),
        ("/zipped", {}, "in a content encoding"),
        ("/endless", {"max_bytes": 5000}, "larger than the 5,000 bytes"),
        ("/slow", {"seconds": 0.5}, "did not send the clip within 0.5 s"),
    ],
)
def test_what_a_host_may_not_do(path, options, message, files):
    with pytest.raises(InputError, match=message):
        get(url(files, path), rules(files, **options))
    assert len(files.asked) == 1


def test_hosts_of_this_machine_are_refused_though_they_are_on_the_list(files):
    with pytest.raises(InputError, match="no host of the public internet"):
        get(url(files, "/clip"), rules(files, private=False))
    assert files.asked == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(files, monkeypatch):
    async def main():
        loop = asyncio.get_running_loop()

        async def both(*_, **__):
            return [(socket.AF_INET, 1, 6, "", (ip, 80)) for ip in ("93.184.215.14", "127.0.0.1")]

        monkeypatch.setattr(loop, "getaddrinfo", both)
        await fetch("http://example.com/clip", FetchRules(("example.com",)))

    with pytest.raises(InputError, match="no host of the public internet"):
        asyncio.run(main())


def test_the_connection_goes_to_the_address_that_was_checked(files, monkeypatch):
    """A name that resolves to another address a moment later changes nothing."""

    async def checked(host, port, _):
        assert host == "rebound.example"
        return "127.0.0.1"

    monkeypatch.setattr(module, "_address", checked)
    host = f"rebound.example:{files.server_port}"
    assert get(f"http://{host}/clip", FetchRules((host,))) == b"RIFF"
    assert files.asked == [("/clip", host)]


@pytest.mark.parametrize(
    ("given_url", "message"),
    [
        ("http://other.com/a.wav", "fetches no clips from other.com"),
        ("http://example.com.evil.com/a.wav", "fetches no clips from example.com.evil.com"),
        ("http://evil.com#example.com", "fetches no clips from evil.com"),
        ("http://example.com@evil.com/", "user name or password"),
        ("http://example.com:22/", "fetches no clips from example.com:22"),
        ("http://sub.example.com/", "fetches no clips from sub.example.com"),
        ("ftp://example.com/a.wav", "must start with http"),
        ("file:///etc/passwd", "must start with http"),
        ("/etc/passwd", "must start with http"),
        ("", "must start with http"),
        ("http://", "must start with http"),
        ("http://exa mple.com/", "cannot be read|fetches no clips|must start"),
        ("http://[::1/", "cannot be read"),
        ("http://example.com/" + "a" * 3000, "at most 2048 long"),
        ("data:audio/wav;base64,AAAA", "must start with http"),
    ],
)
def test_urls_that_are_refused(given_url, message):
    with pytest.raises(InputError, match=message):
        get(given_url, FetchRules(("example.com",)))


def test_nothing_is_fetched_unless_hosts_are_named():
    with pytest.raises(InputError, match="fetches no clips by URL; send the clip itself"):
        get("http://example.com/a.wav", FetchRules())


def test_a_star_stands_for_subdomains_alone():
    for host in ("example.com", "evilexample.com"):
        with pytest.raises(InputError, match="fetches no clips from"):
            get(f"http://{host}/", FetchRules(("*.example.com",)))
    with pytest.raises(InputError, match=r"there is no host a\.example\.com"):
        get("http://a.example.com/", FetchRules(("*.example.com",), seconds=5))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "fd00:ec2::254",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2001:0:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])  # fmt: skip
def test_addresses_that_are(address):
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_in_ipv6_clothes_is_as_public_as_bare(address):
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        dressed = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(address))
        assert is_public(dressed) <= is_public(address)
