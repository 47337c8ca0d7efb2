"""A report, written as Markdown with its images in a folder and as one self-contained HTML page."""

import base64
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pandas as pd
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b2a3a; max-width: 80rem; margin: 2rem auto;
  padding: 0 1.5rem; }
h1, h2 { line-height: 1.2; margin-top: 2.2rem; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 0.86rem; display: block; overflow-x: auto; }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid #d5dee8; white-space: nowrap; }
th { border-bottom: 2px solid #9fb3c8; text-align: left; }
code { background: #eef2f6; padding: 0.1rem 0.3rem; border-radius: 3px; }
summary { cursor: pointer; color: #2a6f97; }
"""


@dataclass
class Page:
    """Markdown in ``parts``; ``images`` are PNG files by the names that the Markdown refers to."""

    title: str
    images: dict[str, bytes] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts.append(f"# {self.title}")

    def heading(self, text: str) -> None:
        """Add the heading of a section."""
        self.parts.append(f"## {text}")

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs of Markdown."""
        self.parts += map(_without_html, paragraphs)

    def bullets(self, lines: list[str]) -> None:
        """Add a list."""
        self.parts.append("\n".join(f"- {_without_html(line)}" for line in lines))

    def table(self, frame: pd.DataFrame, *, folded: str = "") -> None:
        """Add a table; with a summary in ``folded``, it is closed until a reader opens it."""
        frame = frame.astype(str).map(_table_cell).rename(columns=_table_cell)
        align = ("left", *["right"] * (frame.columns.size - 1))
        text = frame.to_markdown(index=False, disable_numparse=True, colalign=align)
        if folded:
            text = f"<details><summary>{_without_html(folded)}</summary>\n\n{text}\n\n</details>"
        self.parts.append(text)

    def image(self, name: str, image: Figure | bytes, caption: str) -> None:
        """Add a figure or a PNG as ``name``.png."""
        self.attach(name, image)
        self.parts.append(f"![{_without_html(caption)}]({name}.png)")

    def attach(self, name: str, image: Figure | bytes) -> None:
        """Write ``name``.png with the page without showing it."""
        if isinstance(image, Figure):
            buffer = io.BytesIO()
            image.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
            image = buffer.getvalue()
        self.images[f"{name}.png"] = image

    def write(self, path: Path) -> list[Path]:
        """Write ``path`` (.md), the HTML page beside it, and the images in a folder of its name.

        Returns the written files.
        """
        folder = path.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, png in self.images.items():
            (folder / name).write_bytes(png)
            written.append(folder / name)
        path.write_text(self.markdown({name: f"{folder.name}/{name}" for name in self.images}))
        page = path.with_suffix(".html")
        page.write_text(self.html())
        return [path, page, *written]

    def log(self, name: str) -> None:
        """Write it into the artifacts of the active run, as ``name`` (.md)."""
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder) / name)
            mlflow.log_artifacts(folder)

    def markdown(self, links: Mapping[str, str]) -> str:
        """The Markdown; ``links`` are where each image is, by its name."""
        text = "\n\n".join(self.parts) + "\n"
        for name, link in links.items():
            text = text.replace(f"]({name})", f"]({link})")
        return text

    def html(self) -> str:
        """The HTML page with its images in it; it needs no other file and no network."""
        links = {
            name: "data:image/png;base64," + base64.b64encode(png).decode()
            for name, png in self.images.items()
        }
        renderer = MarkdownIt("commonmark", {"html": True}).enable("table")
        body = renderer.render(self.markdown(links))
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{self.title}</title><style>{STYLE}</style></head><body>\n{body}</body></html>\n"
        )


def _table_cell(text: str) -> str:
    """Text that cannot end its cell."""
    return _without_html(text).replace("|", "\\|")


def _without_html(text: str) -> str:
    """Text that cannot be read as HTML: names come from the tracking store, which others write."""
    return text.replace("<", "&lt;")
