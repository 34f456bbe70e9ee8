"""A daemon for psactl: a real HTTP server on a UNIX socket that answers with recorded JSON."""

import contextlib
import json
import queue
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = Any
HANG_UP = None


@dataclass
class RecordedDaemon:
    """What it answers, and what it was asked. ``refusals`` win over everything else, by path."""

    socket: Path
    objects: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    plans: list[Json] = field(default_factory=list)
    status: Json = None
    is_current: bool = True
    answers: dict[str, tuple[bool, str]] = field(default_factory=dict)
    """What becomes of a request to a release, by its verb; others stay open."""
    outcomes: dict[str, Json] = field(default_factory=dict)
    """Status of the release after such a request."""
    refusals: dict[str, tuple[int, Json]] = field(default_factory=dict)
    asked: list[tuple[str, str, Json]] = field(default_factory=list)
    frames: "queue.Queue[bytes | None]" = field(default_factory=queue.Queue)
    heard: threading.Condition = field(default_factory=threading.Condition)
    streams: "queue.Queue[str]" = field(default_factory=queue.Queue)
    """Last-Event-ID of each stream that was opened."""

    def say(self, event: str, data: Json, number: int | None = None) -> None:
        """Send a frame to whoever follows the stream."""
        head = f"id: {number}\n" if number is not None else ""
        self.frames.put(f"{head}event: {event}\ndata: {json.dumps(data)}\n\n".encode())

    def beat(self) -> None:
        """Send the comment that keeps a stream alive."""
        self.frames.put(b": still here\n\n")

    def hang_up(self) -> None:
        """End the stream."""
        self.frames.put(HANG_UP)

    def posted(self, path: str) -> list[Json]:
        """Return the bodies that were sent there."""
        return [body for method, where, body in self.asked if method == "POST" and where == path]

    def wait_asked(self, path: str, seconds: float = 5.0) -> None:
        """Return once somebody has asked for *path*."""
        with self.heard:
            if not self.heard.wait_for(lambda: any(where == path for _, where, _ in self.asked), seconds):
                raise AssertionError(f"nobody asked for {path}: {self.asked}")

    def answer(self, method: str, target: str, body: Json) -> tuple[int, Json]:
        parts = urlsplit(target)
        with self.heard:
            self.asked.append((method, parts.path, body))
            self.heard.notify_all()
        not_found = 404, {"error": {"code": "Http", "message": "Not Found", "hint": None}}
        return self.refusals.get(parts.path) or self._answers(parts.path, parts.query, body) or not_found

    def _answers(  # noqa: PLR0911 - one return a path
        self, path: str, query: str, body: Json
    ) -> tuple[int, Json] | None:
        match path.removeprefix("/api/v1/"):
            case "status":
                return 200, self.status
            case "objects":
                return 200, self.objects
            case "events":
                return 200, self._events(parse_qs(query))
            case "plan":
                wanted = body["objects"]
                return 200, {"plans": [p for p in self.plans if wanted is None or p["object"] in wanted]}
            case "catch-up":
                return 200, {"isCurrent": self.is_current, "source": self.status["source"]}
            case "mode":
                self.status = {**self.status, "mode": body["mode"], "effectiveModeText": body["mode"]}
                return 200, self.status
            case "reconcile" | "suspend" | "resume" | "traffic/clear" | "freeze" | "thaw":
                return 200, {}
            case other:
                return self._answers_below(other.split("/"), body)

    def _answers_below(self, segments: list[str], body: Json) -> tuple[int, Json] | None:
        match segments:
            case ["objects", kind]:
                return 200, [each for each in self.objects if each["kind"] == kind]
            case ["objects", kind, name]:
                found = self._find(kind, name)
                missing = {"code": "NotFound", "message": f"there is no {kind}/{name}", "hint": None}
                return (200, found) if found else (404, {"error": missing})
            case ["traffic"]:
                return 200, self._override(body)
            case ["container", name, verb]:
                return 200, {"request": self._request(name, verb, body, "Container")}
            case ["release", name, verb]:
                return 200, {"request": self._request(name, verb, body)}
            case _:
                return None

    def _override(self, body: Json) -> Json:
        found = self._find("TrafficSplit", body["service"])
        blue = body.get("blue", 100 - body.get("green", 0))
        rest = {"until": body["until"], "reason": body["reason"], "actor": "uid 0"}
        found["spec"]["override"] = {"blue": blue, "green": body.get("green", 100 - blue), **rest}
        return found

    def _find(self, kind: str, name: str) -> Json:
        return next((o for o in self.objects if o["kind"] == kind and o["metadata"]["name"] == name), None)

    def _request(self, name: str, verb: str, body: Json, kind: str = "Release") -> int:
        found = self._find(kind, name)
        asked = found["metadata"].setdefault("requests", [])
        accepted, answer = self.answers.get(verb, (False, None))
        asked.append(
            {
                "id": len(asked) + 1,
                "verb": verb,
                "actor": "uid 0",
                "at": "2026-11-24T12:00:00Z",
                "reason": body["reason"],
                "arguments": {},
                "accepted": accepted,
                "answer": answer,
            }
        )
        if verb in self.outcomes:
            found["status"] |= self.outcomes[verb]
        return len(asked)

    def _events(self, query: dict[str, list[str]]) -> list[Json]:
        chosen = [e for e in self.events if query.get("object", [e["object"]])[0] == e["object"]]
        return chosen[-int(query["limit"][0]) :]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    daemon: RecordedDaemon


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/api/v1/stream" and self.path not in self.server.daemon.refusals:
            self._stream()
            return
        self._answer("GET", None)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        self._answer("POST", json.loads(self.rfile.read(length) or b"null"))

    def _answer(self, method: str, body: Json) -> None:
        status, answer = self.server.daemon.answer(method, self.path, body)
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.flush()
        self.server.daemon.streams.put(self.headers.get("Last-Event-ID", ""))
        while (frame := self.server.daemon.frames.get()) is not HANG_UP:
            try:
                self.wfile.write(frame)
                self.wfile.flush()
            except OSError:
                return

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: pytest shows what matters."""


@contextlib.contextmanager
def recorded_daemon(path: Path) -> Iterator[RecordedDaemon]:
    """Serve at *path* while the block runs."""
    daemon = RecordedDaemon(path)
    with _Server(str(path), _Handler) as server:
        server.daemon = daemon
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield daemon
        finally:
            daemon.hang_up()
            server.shutdown()
            thread.join()
