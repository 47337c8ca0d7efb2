"""A report as Markdown with its figures beside it, and as one HTML page that holds everything."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
    """Parts in order; pictures are kept under the names that the text refers to."""

    title: str
    pictures: dict[str, bytes] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts.append(f"# {self.title}")

    def heading(self, text: str) -> None:
        """Begin a section."""
        self.parts.append(f"## {text}")

    def text(self, *paragraphs: str) -> None:
        """Paragraphs of Markdown."""
        self.parts += map(_plain, paragraphs)

    def bullets(self, lines: list[str]) -> None:
        """A list."""
        self.parts.append("\n".join(f"- {_plain(line)}" for line in lines))

    def table(self, frame: pd.DataFrame, *, folded: str = "") -> None:
        """A table; where ``folded`` names it, shown on request."""
        frame = frame.astype(str).map(_cell).rename(columns=_cell)
        align = ("left", *["right"] * (frame.columns.size - 1))
        text = frame.to_markdown(index=False, disable_numparse=True, colalign=align)
        if folded:
            text = f"<details><summary>{_plain(folded)}</summary>\n\n{text}\n\n</details>"
        self.parts.append(text)

    def picture(self, name: str, image: Figure | bytes, caption: str) -> None:
        """A figure, or a PNG, under ``name``.png."""
        self.keep(name, image)
        self.parts.append(f"![{_plain(caption)}]({name}.png)")

    def keep(self, name: str, image: Figure | bytes) -> None:
        """The same beside the page, not on it."""
        if isinstance(image, Figure):
            buffer = io.BytesIO()
            image.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
            image = buffer.getvalue()
        self.pictures[f"{name}.png"] = image

    def write(self, path: Path) -> list[Path]:
        """Write ``path`` (.md), the page beside it (.html), and the figures in a folder."""
        folder = path.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, png in self.pictures.items():
            (folder / name).write_bytes(png)
            written.append(folder / name)
        path.write_text(self.markdown({name: f"{folder.name}/{name}" for name in self.pictures}))
        page = path.with_suffix(".html")
        page.write_text(self.html())
        return [path, page, *written]

    def markdown(self, places: Mapping[str, str]) -> str:
        """The text, each picture where ``places`` says that it is."""
        text = "\n\n".join(self.parts) + "\n"
        for name, place in places.items():
            text = text.replace(f"]({name})", f"]({place})")
        return text

    def html(self) -> str:
        """The whole page, pictures included: no other file, no network."""
        places = {
            name: "data:image/png;base64," + base64.b64encode(png).decode()
            for name, png in self.pictures.items()
        }
        reader = MarkdownIt("commonmark", {"html": True}).enable("table")
        body = reader.render(self.markdown(places))
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{self.title}</title><style>{STYLE}</style></head><body>\n{body}</body></html>\n"
        )


def _cell(text: str) -> str:
    """Text that does not end its cell."""
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text that is no HTML: names come from the tracking store, where others may write."""
    return text.replace("<", "&lt;")
