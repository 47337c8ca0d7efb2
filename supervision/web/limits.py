"""Limits on requests, before anything of them is parsed: how many, how large, and how slow.

    app.add_middleware(RequestLimits)

A request with a body is read completely, within its limits, and handed on in one piece.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from supervision.web.errors import RETRY_SECONDS, RefusedError

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


class RequestLimits:
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
        refusal = self._refusal(scope)
        is_admitted = refusal is None
        self.requests += is_admitted
        try:
            body = await _receive(receive, keep=is_admitted)
            if refusal:
                raise refusal
            if body is not None:
                await self.app(scope, _replaying(body, receive), send)
        except RefusedError as error:
            response = error.response()
            response.headers["Connection"] = "close"  # else uvicorn reads the rest of the body
            await response(scope, receive, send)
        finally:
            self.requests -= is_admitted

    def _refusal(self, scope: Scope) -> RefusedError | None:
        """Why a request is refused by its headers, if it is."""
        media_type = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0]
        if media_type.strip().lower() != MEDIA_TYPE:
            return RefusedError(415, "Send the header Content-Type: application/json.")
        if self.requests >= MAX_REQUESTS:
            return RefusedError(
                503,
                f"The server is busy with {MAX_REQUESTS} requests; ask again in "
                f"{RETRY_SECONDS} seconds.",
            )
        return None


async def _receive(receive: Receive, *, keep: bool) -> bytes | None:
    """The whole body, or an empty one without ``keep``; None where the client has gone.

    What is not kept is received all the same, as most clients read no response before they have
    sent all. Raises RefusedError for a body that is too large or too slow.
    """
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            return await _receive_all(receive, keep=keep)
    except TimeoutError:
        message = f"The body did not arrive within {MAX_BODY_SECONDS} seconds."
        raise RefusedError(408, message) from None


async def _receive_all(receive: Receive, *, keep: bool) -> bytes | None:
    body, size = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        size += len(message.get("body", b""))
        if keep and size <= MAX_BODY_BYTES:
            body += message.get("body", b"")
        else:
            body.clear()
        if not message.get("more_body", False) or size > MAX_RECEIVED_BYTES:
            break
    if size > MAX_BODY_BYTES:
        megabytes = MAX_BODY_BYTES // 10**6
        raise RefusedError(
            413, f"The request is larger than {megabytes} MB; send fewer structures at once."
        )
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
