"""Views of several crystals in one captioned image."""

from collections.abc import Sequence

import cv2
import numpy as np

from supervision.data.crystals import Material
from supervision.models.vision.featurize import scenes_of
from supervision.models.vision.render import draw
from supervision.models.vision.views import VIEWS, select_views


def contact_sheet_of(
    materials: Sequence[Material], *, bonding: str = "fast", seed: int = 42, count: int = 6
) -> np.ndarray:
    """A captioned grid of a few materials, chosen evenly over Tc: six views of each, as RGB."""
    ranked = sorted(materials, key=lambda m: (m.tc, m.id))
    picks = [ranked[round(i)] for i in np.linspace(0, len(ranked) - 1, min(count, len(ranked)))]
    views = select_views(6)
    chosen = [m.crystals[seed % len(m.crystals)] for m in picks]
    scenes = scenes_of(chosen, bonding=bonding, quiet=True)
    images, labels = [], []
    for material, crystal in reversed(list(zip(picks, chosen, strict=True))):
        images += [draw(scenes[crystal.id], view) for view in views]
        labels += [VIEWS[view].name for view in views]
        labels[-len(views)] = f"{material.formula[:24]}  {material.tc:.1f} K"
    return contact_sheet(images, labels, columns=len(views))


def contact_sheet(
    images: list[np.ndarray], labels: list[str], columns: int, *, gap: int = 12
) -> np.ndarray:
    """Pictures of one size in a captioned grid, [height, width, 3] uint8 red-green-blue.

    Raises ValueError where there is no picture or the captions are not as many as the pictures.
    """
    if not images or len(images) != len(labels):
        raise ValueError(
            f"{len(images)} pictures and {len(labels)} captions: give as many of each."
        )
    height, width = images[0].shape[:2]
    caption = 22
    rows = -(-len(images) // columns)
    cell_h, cell_w = height + caption + gap, width + gap
    sheet = np.full((rows * cell_h + gap, columns * cell_w + gap, 3), 24, dtype=np.uint8)
    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        y, x = gap + (n // columns) * cell_h, gap + (n % columns) * cell_w
        sheet[y : y + height, x : x + width] = image
        origin = (x + 2, y + height + caption - 6)
        cv2.putText(
            sheet, label, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (215, 215, 215), 1, cv2.LINE_AA
        )
    return sheet
