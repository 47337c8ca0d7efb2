"""The page: Tc of your crystals in a browser, and predictions for any client at /predict.

supervision-tc app
mlflow run . -e app --env-manager local
"""

from typing import Annotated

import typer

from entrypoints.options import MODEL_HELP, run_cli

app = typer.Typer(add_completion=False)


@app.command()
def main(
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "",
    graph: Annotated[str, typer.Option(help="a graph model that explains the sites")] = "",
    vision: Annotated[str, typer.Option(help="a vision model that explains the views")] = "",
    host: Annotated[
        str, typer.Option(help="the address to listen on; 0.0.0.0 for other machines, too")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="the port to listen on", min=1, max=65535)] = 8000,
) -> None:
    """Serve the page and its predictions until it is stopped."""

    def run() -> None:
        from supervision.web.server import serve
        from tracking.serving.site import load_site

        serve(load_site(model, {"graph": graph, "vision": vision}), host, port)

    run_cli(run)


if __name__ == "__main__":
    app()
