"""Pictures as PNG."""

from pathlib import Path

import cv2
import numpy as np


def png_of(rgb: np.ndarray) -> bytes:
    """A PNG file of [height, width, 3] uint8 red-green-blue."""
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


def save_png(path: str | Path, rgb: np.ndarray) -> None:
    """Write [height, width, 3] uint8 red-green-blue as PNG. Raises OSError where it cannot."""
    try:
        Path(path).write_bytes(png_of(rgb))
    except OSError as error:
        raise OSError(f"The picture {path} could not be written ({error.strerror}).") from error
