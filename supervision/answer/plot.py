"""An answer as a figure: the predicted Tc with its interval, above the nearest known materials."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from supervision.answer.calibration import LEVEL
from supervision.answer.kelvin import kelvin
from supervision.runtime.plot_style import BLUE, GREY, RED, STYLE, TC_TICKS, TEXT_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_INCHES, WIDTH_INCHES = 0.42, 7.2
LEAST_AXIS = 10.0  # K; the temperature axis does not end below it


def answer_figure(answer: Any) -> "Figure":
    """The figure of an ``Answer``. Raises ValueError for one that has an error."""
    import matplotlib  # a library that writes a cache when it is imported
    from matplotlib.figure import Figure

    if answer.error:
        raise ValueError(f"There is nothing to draw: {answer.error}")
    rows = 1 + len(answer.members) + len(answer.nearest)
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(WIDTH_INCHES, 1.5 + ROW_INCHES * rows), layout="constrained")
        ax = drawn.subplots()
        _draw_prediction(ax, answer)
        labels = [f"predicted, {LEVEL:.0%} interval"]
        for row, (name, tc) in enumerate(answer.members.items(), start=1):
            ax.plot(_place(answer, tc), row, "|", color=BLUE, ms=12, mew=2)
            labels.append(f"by {name}")
        for row, near in enumerate(answer.nearest, start=len(labels)):
            ax.plot(_place(answer, near.tc_kelvin), row, "o", color=RED, ms=7)
            labels.append(f"{near.formula}, {near.distance:.3f} away")
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.4, -0.7)
        if answer.quantity.is_tc:
            _set_temperatures(ax, answer)
        else:
            ax.set_xlabel(f"{answer.quantity.label}; dots in red are known materials")
            ax.margins(x=0.08)
        ax.grid(axis="x", color=GREY, alpha=0.35, lw=0.8)
        ax.set_axisbelow(True)
        ax.set_title(_title(answer))
        drawn.supxlabel(_probabilities(answer), fontsize=9, color=TEXT_COLOUR)
    return drawn


def _place(answer: Any, value: float) -> float:
    """Where a value is on the axis: of Tc, its square root."""
    return math.sqrt(max(value, 0)) if answer.quantity.is_tc else value


def _draw_prediction(ax: "Axes", answer: Any) -> None:
    if math.isfinite(answer.tc_upper):
        bounds = [_place(answer, end) for end in (answer.tc_lower, answer.tc_upper)]
        ax.plot(bounds, [0, 0], color=BLUE, lw=8, alpha=0.3, solid_capstyle="butt")
    tc = _place(answer, answer.tc_kelvin)
    ax.plot(tc, 0, "o", color=BLUE, ms=9)
    text = answer.quantity.with_unit(kelvin(answer.tc_kelvin, answer.decimals))
    ax.annotate(text, (tc, 0), (0, 8), textcoords="offset points", ha="center", weight="bold")


def _set_temperatures(ax: "Axes", answer: Any) -> None:
    """A square-root axis from 0 K to beyond everything that is shown."""
    shown = [answer.tc_kelvin, answer.tc_upper, *answer.members.values(), LEAST_AXIS]
    highest = np.nanmax([*shown, *(near.tc_kelvin for near in answer.nearest)])
    ax.set_xlim(-0.15, math.sqrt(highest) * 1.06)
    ticks = [t for t in TC_TICKS if t <= highest * 1.05]
    ax.set_xticks(np.sqrt(ticks), [f"{t:g}" for t in ticks])
    ax.set_xlabel("Tc (K); measured of known materials, 0 where none was reported")


def _title(answer: Any) -> str:
    return f"{answer.formula}: {answer.domain}" if answer.domain else answer.formula


def _probabilities(answer: Any) -> str:
    given = {
        "a reported Tc": answer.p_superconducting, "Tc > 10 K": answer.p_above_10,
        "> 20 K": answer.p_above_20, "> 40 K": answer.p_above_40,
    }  # fmt: skip
    known = [f"{name}: {p:.0%}" for name, p in given.items() if math.isfinite(p)]
    return "Probability of " + ", ".join(known) if known else ""
