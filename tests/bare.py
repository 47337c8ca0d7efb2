"""Run a module as on a bare machine: ``python tests/bare.py MODULE ARGUMENTS``.

torch, timm, peft, numpy and OpenCV are there with what they bring; all else that this project
needs is hidden, from those that only look whether it is there as well.
"""

import runpy
import sys
from importlib.machinery import PathFinder

HIDDEN = {
    "alignn", "dgl", "gemmi", "jarvis", "joblib", "lightgbm", "matplotlib", "mlflow", "onnx",
    "optuna", "pandas", "pymatgen", "scipy", "sklearn", "skops", "tabulate",
}  # fmt: skip


class Bare(PathFinder):
    """The usual finder, blind to HIDDEN."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            return None
        return super().find_spec(name, path, target)


if __name__ == "__main__":
    sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
    sys.path[0] = ""  # as python -m has it
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
