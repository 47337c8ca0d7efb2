"""Requests that are refused, each with a status and one sentence."""

from typing import Any

from fastapi.responses import JSONResponse

RETRY_SECONDS = 2  # after which a client may ask again


class RefusedError(Exception):
    """A request that cannot be answered; the message is one sentence that says why.

    Attributes:
        status: of the HTTP response.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def response(self) -> JSONResponse:
        """What the client gets."""
        headers = {"Retry-After": str(RETRY_SECONDS)} if self.status == 503 else None
        return error_response(self.status, str(self), headers)


def error_response(
    status: int, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """A response with one sentence."""
    content: dict[str, Any] = {"error": message}
    return JSONResponse(content, status, headers)
