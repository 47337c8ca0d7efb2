"""The web server that runs the app."""

import gc
import socket
from contextlib import suppress

import uvicorn

from supervision.runtime.errors import ExpectedError, error_reason
from supervision.web.app import create_app
from supervision.web.site import Site

KEEP_ALIVE_SECONDS = 15
SHUTDOWN_SECONDS = 10  # for requests in progress


def serve(site: Site, host: str, port: int) -> None:
    """Serve a site until the process is stopped. Raises ExpectedError where the port is taken."""
    with _listening(host, port) as sock:
        app = create_app(site)
        gc.collect()
        gc.freeze()  # else every search for garbage goes through all models and libraries
        print(
            f"{site.model.name} answers at http://{_shown(host)}:{port} (stop: Ctrl-C)", flush=True
        )
        config = uvicorn.Config(
            app,
            log_level="warning",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            server_header=False,
        )
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after its shutdown
            uvicorn.Server(config).run([sock])


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens, before any model is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY on connections of sockets with this protocol alone; without it the
    # second part of a response waits for the client's delayed acknowledgement, 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ExpectedError(
            f"The server cannot listen on {host}:{port} ({error_reason(error)}); choose another "
            "one with --port or --host."
        ) from error
    return sock


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
