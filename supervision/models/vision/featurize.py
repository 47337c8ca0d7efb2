"""Crystals -> cached scenes. Needs pymatgen and numpy, not torch."""

from collections.abc import Sequence
from functools import partial

from supervision.data.crystals import Crystal, Reject
from supervision.data.errors import CrystalError
from supervision.data.featurize import Featurizer, featurize, featurize_all
from supervision.models.vision.scene import SCENE_VERSION, Scene, build_scene


def build_crystal_scene(crystal: Crystal, *, bonding: str = "fast") -> Scene:
    """The scene of a crystal, in training and in serving.

    Raises CrystalError with one sentence.
    """
    structure = crystal.structure
    try:
        return build_scene(structure, bonding=bonding)
    except ValueError as error:
        raise CrystalError(str(error)) from error


def scene_featurizer(bonding: str) -> Featurizer[Scene]:
    """The featurizer that builds scenes with one of BONDINGS."""
    build = partial(build_crystal_scene, bonding=bonding)
    return Featurizer("scenes", f"v{SCENE_VERSION}-{bonding}", build, Scene.from_arrays)


def featurize_scenes(
    crystals: Sequence[Crystal], *, bonding: str = "fast", workers: int = 0, quiet: bool = False
) -> tuple[dict[str, Scene], list[Reject]]:
    """Scenes by crystal id, and the crystals that cannot be drawn, with the reason."""
    return featurize(scene_featurizer(bonding), crystals, workers=workers, quiet=quiet)


def featurize_all_scenes(
    crystals: Sequence[Crystal], *, bonding: str = "fast", quiet: bool = False
) -> dict[str, Scene]:
    """Scenes by crystal id. Raises CrystalError if one cannot be drawn."""
    return featurize_all(scene_featurizer(bonding), crystals, quiet=quiet)
