"""Requests to a real server, and their answers."""

import json
from contextlib import closing

from benchmarks.servers import JSON, PATHS, post, serving

__all__ = ["ask", "rows", "serving"]


def ask(server, body, content_type=JSON):
    """The status and the answer of one request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with closing(server.connect()) as connection:
        reply = post(connection, PATHS[server.kind], data, content_type)
    return reply.status, json.loads(reply.content)


def rows(*cifs):
    """The body of a request for these CIF texts."""
    return {"dataframe_split": {"columns": ["cif"], "data": [[c] for c in cifs]}}
