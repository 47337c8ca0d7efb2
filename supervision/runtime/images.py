"""Writing images as PNG."""

from pathlib import Path

import cv2
import numpy as np


def encode_png(rgb: np.ndarray) -> bytes:
    """The bytes of a PNG file of an RGB image, uint8 [height, width, 3]."""
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


def save_png(path: str | Path, rgb: np.ndarray) -> None:
    """Write an RGB image, uint8 [height, width, 3], as PNG. Raises OSError if writing fails."""
    try:
        Path(path).write_bytes(encode_png(rgb))
    except OSError as error:
        raise OSError(f"The image {path} could not be written ({error.strerror}).") from error
