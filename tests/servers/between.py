"""A wire between client and server that can be slow, and that counts what goes over it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


class Between:
    """Forwards connections to a server; `delay_seconds` holds back each chunk of an answer."""

    def __init__(self, server_url: str) -> None:
        address = urlsplit(server_url)
        self._target = (address.hostname or "127.0.0.1", address.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.delay_seconds = 0.0
        self.searches = 0
        self.on_search: Callable[[int], object] = lambda _count: None

    def serve(self) -> None:
        """Accept until closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept nobody any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            client.close()
            return
        threading.Thread(target=self._up, args=(client, server), daemon=True).start()
        with suppress(OSError):
            server.settimeout(None)
            while chunk := server.recv(CHUNK_BYTES):
                time.sleep(self.delay_seconds)
                client.sendall(chunk)
        client.close()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while chunk := client.recv(CHUNK_BYTES):
                if b"_search" in chunk:
                    self.searches += 1
                    self.on_search(self.searches)
                server.sendall(chunk)
        server.close()


@contextmanager
def between(server_url: str) -> Iterator[Between]:
    """A running wire to the server."""
    wire = Between(server_url)
    threading.Thread(target=wire.serve, daemon=True).start()
    try:
        yield wire
    finally:
        wire.close()
