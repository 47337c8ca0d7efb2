"""The server: the page, what it asks, and predictions for any client.

    app = create_app(site)

It answers only by the models of its site and by files of this package. Texts of requests stay in
memory, and nothing in them is evaluated.
"""

import logging
import os
from pathlib import Path
from threading import Lock
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from supervision.answer.request import RequestError, answer_request
from supervision.answer.warm_up import warm_up
from supervision.data.crystals import Crystal
from supervision.data.datasets.classics import load_classics
from supervision.data.errors import CrystalError
from supervision.data.substitution import Substitution
from supervision.design.doping.curve import doped
from supervision.explain.explanation import explain
from supervision.explain.page import html
from supervision.runtime.heap import limit_malloc_arenas
from supervision.web.bodies import (
    crystal_of,
    number_field,
    parse_json,
    rows_to_predict,
    text_field,
)
from supervision.web.crystal_view import crystal_view, known_family
from supervision.web.errors import RefusedError, error_response
from supervision.web.executor import RequestExecutor
from supervision.web.limits import RequestLimits
from supervision.web.page import render_page
from supervision.web.series import substitution_series
from supervision.web.site import Site
from supervision.web.table import answers_csv

HERE = Path(__file__).parent
PREDICTING = 8  # requests whose rows are answered in turn; the others wait for one of these
MAX_SECONDS = 8  # of what is drawn of a crystal
MAX_EXPLANATION_SECONDS = 60
log = logging.getLogger("supervision.web")


def create_app(site: Site) -> FastAPI:
    """The application; its models have answered once when this returns."""
    limit_malloc_arenas()
    app = FastAPI(title="SuperVision", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(RequestLimits)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    _add_page(app, site)
    _add_predictions(app, site)
    _add_drawings(app, site)
    _add_errors(app)
    _warm(site)
    return app


def _add_page(app: FastAPI, site: Site) -> None:
    page = render_page(site)
    examples = {crystal.id: crystal for crystal in load_classics()}

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"model": site.model.name}

    @app.get("/examples/{name}")
    async def example(name: str) -> dict[str, str]:
        if name not in examples:
            raise RefusedError(404, "There is no such example.")
        return {"name": examples[name].formula, "text": examples[name].cif}


def _add_predictions(app: FastAPI, site: Site) -> None:
    executor = RequestExecutor(PREDICTING)

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        rows, strict = rows_to_predict(parse_json(await request.body()))
        found = await executor.run(
            request,
            lambda disconnected: answer_request(
                site.model.answerer, rows, strict=strict, is_abandoned=disconnected.is_set
            ),
        )
        return JSONResponse({"predictions": found})

    @app.post("/csv")
    async def table(request: Request) -> Response:
        quantity = site.model.answerer.quantity
        content = parse_json(await request.body())
        return Response(answers_csv(content, quantity), media_type="text/csv")


def _add_drawings(app: FastAPI, site: Site) -> None:
    """What the page asks for besides predictions."""
    executor = RequestExecutor(os.cpu_count() or 1)
    drawing = Lock()  # matplotlib's settings are shared by all threads

    @app.post("/crystal")
    async def crystal(request: Request) -> JSONResponse:
        given = crystal_of(parse_json(await request.body()))
        known = site.model.answerer.known
        return JSONResponse(
            await executor.run_within(request, MAX_SECONDS, lambda: crystal_view(given, known))
        )

    @app.post("/family")
    async def family(request: Request) -> JSONResponse:
        formula = text_field(parse_json(await request.body()), "formula")
        known = site.model.answerer.known
        found = known_family(Crystal(formula, formula, ""), known)
        return JSONResponse({"known": found})

    @app.post("/series")
    async def series(request: Request) -> JSONResponse:
        _require_tc(site, "A series of substitution")
        content = parse_json(await request.body())
        given, pair = crystal_of(content), _pair(content)
        return JSONResponse(
            await executor.run_within(
                request, MAX_SECONDS, lambda: substitution_series(site.fast, given, pair)
            )
        )

    @app.post("/substitute")
    async def substitute(request: Request) -> JSONResponse:
        content = parse_json(await request.body())
        given, pair = crystal_of(content), _pair(content)
        fraction = number_field(content, "fraction")
        found = await executor.run_within(
            request, MAX_SECONDS, lambda: doped(given, [pair], [fraction])
        )
        return JSONResponse({"name": found.id, "text": found.cif})

    @app.post("/explain")
    async def explanation(request: Request) -> HTMLResponse:
        _require_tc(site, "An explanation")
        given = crystal_of(parse_json(await request.body()))

        def explained() -> str:
            found = explain(site.model.answerer, given, **site.explaining)
            with drawing:
                return html(found)

        return HTMLResponse(await executor.run_within(request, MAX_EXPLANATION_SECONDS, explained))


def _require_tc(site: Site, what: str) -> None:
    """Raise RefusedError for what is made for Tc, where the model predicts another quantity."""
    try:
        site.model.answerer.quantity.require_tc(what)
    except ValueError as error:
        raise RefusedError(400, str(error)) from error


def _pair(content: dict[str, Any]) -> Substitution:
    return Substitution(text_field(content, "host"), text_field(content, "dopant"))


def _add_errors(app: FastAPI) -> None:
    """Every error is one sentence; what is not expected is logged here, not sent."""

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return error.response()

    @app.exception_handler(RequestError)
    @app.exception_handler(CrystalError)
    async def bad_input(_: Request, error: Exception) -> Response:
        return error_response(400, str(error))

    @app.exception_handler(HTTPException)
    async def no_route(_: Request, error: HTTPException) -> Response:
        return error_response(error.status_code, f"{error.detail}.")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        log.error("unexpected error", exc_info=error)
        return error_response(500, "The server failed to answer; its log says why.")


def _warm(site: Site) -> None:
    """Answer and draw once, so that no request waits for a library."""
    for model in (site.model, site.fast):
        warm_up(model.answerer)
    crystal_view(load_classics()[0], site.model.answerer.known)
