"""Contact sheets: views of several crystals in one captioned image."""

from collections.abc import Sequence

import cv2
import numpy as np

from supervision.data.crystals import Material
from supervision.models.vision.featurize import featurize_all_scenes
from supervision.models.vision.render import draw
from supervision.models.vision.views import VIEWS, select_views

CAPTION_PIXELS = 22
VIEWS_PER_CRYSTAL = 6
BACKGROUND_LEVEL = 24


def draw_contact_sheet(
    materials: Sequence[Material], *, bonding: str = "fast", seed: int = 42, count: int = 6
) -> np.ndarray:
    """A captioned RGB grid of ``count`` materials spread evenly over Tc, six views of each."""
    ranked = sorted(materials, key=lambda m: (m.tc, m.id))
    picks = [ranked[round(i)] for i in np.linspace(0, len(ranked) - 1, min(count, len(ranked)))]
    views = select_views(VIEWS_PER_CRYSTAL)
    crystals = [m.crystals[seed % len(m.crystals)] for m in picks]
    scenes = featurize_all_scenes(crystals, bonding=bonding, quiet=True)
    images, labels = [], []
    for material, crystal in reversed(list(zip(picks, crystals, strict=True))):
        images += [draw(scenes[crystal.id], view) for view in views]
        labels += [VIEWS[view].name for view in views]
        labels[-len(views)] = f"{material.formula[:24]}  {material.tc:.1f} K"
    return captioned_grid(images, labels, columns=len(views))


def captioned_grid(
    images: list[np.ndarray], labels: list[str], columns: int, *, gap: int = 12
) -> np.ndarray:
    """Images of one size in a captioned grid, [height, width, 3] uint8 RGB; ``gap`` in pixels.

    Raises ValueError if there are no images, or not one caption per image.
    """
    if not images or len(images) != len(labels):
        raise ValueError(
            f"{len(images)} images and {len(labels)} captions: give one caption per image."
        )
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    cell_h, cell_w = height + CAPTION_PIXELS + gap, width + gap
    shape = (rows * cell_h + gap, columns * cell_w + gap, 3)
    sheet = np.full(shape, BACKGROUND_LEVEL, dtype=np.uint8)
    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        y, x = gap + (n // columns) * cell_h, gap + (n % columns) * cell_w
        sheet[y : y + height, x : x + width] = image
        origin = (x + 2, y + height + CAPTION_PIXELS - 6)
        cv2.putText(
            sheet, label, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (215, 215, 215), 1, cv2.LINE_AA
        )
    return sheet
