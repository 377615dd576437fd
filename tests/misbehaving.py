"""A server on this machine that does to a client what real ones do: cut, stall, lie, redirect."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: What a proxy's login page looks like, with status 200.
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


@dataclass(frozen=True)
class Play:
    """One answer: `cut` sends that share of what is left, or so many bytes if it is whole.

    `mark`: an ETag (by default of the body; "" for none). `sized` "length", "chunked" or "" for
    neither. `stalls`: stand still after the cut instead of closing the connection. `heedless`:
    give a range of this body whatever version the client began. `shift`: begin a range so many
    bytes later than asked.
    """

    body: bytes = b""
    status: int = 200
    cut: float | int | None = None
    ranges: bool = True
    place: str = ""
    mark: str | None = None
    sized: str = "length"
    stalls: bool = False
    heedless: bool = False
    shift: int = 0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Server:
    """Answers by path, the last one again and again; and what was asked."""

    base: str = ""
    plays: dict[str, list[Play]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def at(self, path: str, *plays: Play) -> str:
        """Set what a path answers; returns its address."""
        self.plays[path] = list(plays)
        return self.base + path

    def next(self, path: str) -> Play:
        with self._turn:
            waiting = self.plays.get(path, [Play(b"no such file", 404)])
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def gets(self, path: str) -> list[dict[str, str]]:
        """The headers of every GET of a path."""
        return [headers for verb, asked, headers in self.asked if (verb, asked) == ("GET", path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Listener"

    def do_GET(self) -> None:
        stage = self.server.stage
        stage.asked.append((self.command, self.path, dict(self.headers)))
        play = stage.next(self.path)
        mark = hashlib.md5(play.body).hexdigest() if play.mark is None else play.mark
        start = self._start(play, mark)
        body = play.body[start:]
        self._headers(play, mark, start, body)
        if self.command == "HEAD":
            return
        if play.cut is not None:
            share = play.cut if isinstance(play.cut, int) else int(play.cut * len(body))
            self._send(play, body[:share])
            if play.stalls:
                stage.over.wait(20)
            self.close_connection = True
            return
        self._send(play, body)
        if play.sized == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = play.sized == ""

    do_HEAD = do_GET

    def _start(self, play: Play, mark: str) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        fits = play.heedless or self.headers.get("If-Range") in (None, f'"{mark}"')
        good = play.status == 200 and play.ranges and asked and fits
        return int(asked[1]) + play.shift if good and int(asked[1]) < len(play.body) else 0

    def _headers(self, play: Play, mark: str, start: int, body: bytes) -> None:
        self.send_response(206 if start else play.status)
        if start:
            total = len(play.body)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if mark:
            self.send_header("ETag", f'"{mark}"')
        if play.place:
            self.send_header("Location", play.place)
        if play.sized == "length":
            self.send_header("Content-Length", str(len(body)))
        elif play.sized == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
        for name, value in play.headers:
            self.send_header(name, value)
        self.end_headers()

    def _send(self, play: Play, body: bytes) -> None:
        chunked = play.sized == "chunked" and body
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if chunked else body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    stage: Server


@contextmanager
def served() -> Iterator[Server]:
    """A server for the length of a `with` block."""
    with _Listener(("127.0.0.1", 0), _Handler) as listener:
        listener.stage = Server(f"http://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever, args=(0.002,), daemon=True)
        thread.start()
        try:
            yield listener.stage
        finally:
            listener.stage.over.set()
            listener.shutdown()
            thread.join()
