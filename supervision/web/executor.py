"""Computations of requests, in threads, for as long as their client waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, TypeVar, cast

from fastapi import Request

from supervision.runtime.deadline import call_within
from supervision.web.errors import RefusedError

Result = TypeVar("Result")


class RequestExecutor:
    """Runs computations in a number of threads; the others wait."""

    def __init__(self, threads: int) -> None:
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="compute")

    async def run(self, request: Request, call: Callable[[Event], Result]) -> Result:
        """Return or raise what ``call`` does; it gets an event that is set on a disconnect.

        What still waits when its client disconnects is not begun. Raises RefusedError then.
        """
        disconnected = Event()
        future: asyncio.Future[Any] = asyncio.get_running_loop().run_in_executor(
            self.threads, call, disconnected
        )
        waiting: asyncio.Future[Any] = asyncio.ensure_future(_disconnect(request))
        try:
            await asyncio.wait({future, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return cast(Result, future.result())
            raise RefusedError(499, "The client has disconnected.")  # nobody reads it
        finally:
            disconnected.set()
            future.cancel()
            waiting.cancel()

    async def run_within(
        self, request: Request, seconds: float, call: Callable[[], Result]
    ) -> Result:
        """Return or raise what ``call`` does; raise RefusedError if it takes longer."""
        try:
            return await self.run(request, lambda _: call_within(seconds, call))
        except TimeoutError as error:
            raise RefusedError(
                400,
                f"This took longer than {seconds:g} s and was given up; give a smaller cell of the "
                "crystal, or try again when the server is less busy.",
            ) from error


async def _disconnect(request: Request) -> None:
    """Return when the client has disconnected; its body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
