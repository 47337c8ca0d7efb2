"""The colours of all plots, the Tc that their axes name, and matplotlib's settings."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEXT_COLOUR, BLUE, GREY, RED = "#1b2a3a", "#2a6f97", "#9fb3c8", "#d1495b"
PALETTE = (
    BLUE, RED, "#6a994e", "#7b5ea7", "#e09f3e",
    "#4a4e69", "#00a6a6", "#b56576", "#8d6a3f", "#d66ba0",
    "#1d3557", "#f4a6b8", "#a7c957", "#c8b6ff",
)  # fmt: skip
TC_TICKS = (0, 1, 5, 10, 20, 40, 60, 90, 130)  # K, on sqrt axes
STYLE: dict[Any, Any] = {
    "axes.edgecolor": TEXT_COLOUR,
    "axes.labelcolor": TEXT_COLOUR,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "text.color": TEXT_COLOUR,
    "xtick.color": TEXT_COLOUR,
    "ytick.color": TEXT_COLOUR,
    "figure.dpi": 140,
}
PLAIN_TEXT = {"text.parse_math": False}  # for untrusted names: a $ does not begin a formula


def set_titles(ax: "Axes", title: str, subtitle: str) -> None:
    """A title, and a line below it that is smaller and not bold."""
    ax.set_title(f"{title}\n")
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate(subtitle, (0, 1), (0, 6), fontsize=9, **place)
