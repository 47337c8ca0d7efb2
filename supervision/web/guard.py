"""Limits on requests, before anything of them is parsed: how many, how large, and how slow.

    app.add_middleware(Guard)

A request with a body is read completely, within its limits, and handed on in one piece.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from supervision.web.errors import RefusedError

MAX_BODY_BYTES = 8_000_000  # four of the longest CIF texts, a thousand of those in 3DSC
MAX_RECEIVED_BYTES = 100_000_000  # of a body that is too large; then the connection is closed
MAX_BODY_SECONDS = 30  # 2 Mbit/s for the largest body
MAX_REQUESTS = 64  # read or computed at once; their bodies have at most 512 MB
MEDIA_TYPE = b"application/json"  # a page of another site cannot send it without being asked
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """ASGI middleware: refuses requests over a limit, and adds security headers to responses."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.requests = 0  # in progress; changed in the event loop alone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the server."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        try:
            self._admit(scope)
        except RefusedError as error:
            await error.response()(scope, receive, send)
            return
        self.requests += 1
        try:
            await self._handle(scope, receive, send)
        finally:
            self.requests -= 1

    def _admit(self, scope: Scope) -> None:
        """Raise RefusedError where the headers of a request are reason enough."""
        headers = dict(scope["headers"])
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type != MEDIA_TYPE:
            raise RefusedError(415, "Send the header Content-Type: application/json.")
        if self.requests >= MAX_REQUESTS:
            raise RefusedError(
                503, f"The server is busy with {self.requests} requests; ask again in 2 seconds."
            )

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(MAX_BODY_SECONDS):
                body = await _read(receive)
        except TimeoutError:
            message = f"The body did not arrive within {MAX_BODY_SECONDS} seconds."
            await RefusedError(408, message).response()(scope, receive, send)
            return
        except RefusedError as error:
            await error.response()(scope, receive, send)
            return
        if body is not None:
            await self.app(scope, _replaying(body, receive), send)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None where the client has gone. Raises RefusedError if it is too large.

    The rest of a body that is too large is received and dropped, as most clients read no response
    before they have sent all.
    """
    body, size = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        body += part
        if size > MAX_BODY_BYTES:
            body.clear()
        is_complete = not message.get("more_body", False)
        if size > MAX_BODY_BYTES and (is_complete or size > MAX_RECEIVED_BYTES):
            megabytes = MAX_BODY_BYTES // 10**6
            raise RefusedError(
                413, f"The request is larger than {megabytes} MB; send fewer structures at once."
            )
        if is_complete:
            return bytes(body)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A function that gives the body first, then what the connection gives."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _with_headers(send: Send) -> Send:
    added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return send_with_headers
