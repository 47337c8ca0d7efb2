"""The socket of the app's server."""

import asyncio
import socket

from benchmarks.servers import HOST
from supervision.web.server import _listening


def test_the_parts_of_a_response_do_not_wait_for_each_other():
    async def delays():
        """Whether a connection to the server waits before it sends a small part."""
        found = asyncio.get_running_loop().create_future()

        def accept(_, writer):
            accepted = writer.get_extra_info("socket")
            found.set_result(not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with _listening(HOST, 0) as sock:
            async with await asyncio.start_server(accept, sock=sock):
                _, writer = await asyncio.open_connection(*sock.getsockname())
                writer.close()
                return await found

    assert not asyncio.run(delays())
