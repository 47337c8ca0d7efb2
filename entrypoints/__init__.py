"""Thin command lines, one file an MLproject entry point.

Two OpenMP pools (torch's and numpy's or OpenCV's) spin against each other on small machines
unless they wait passively, and that must be said before torch is imported.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
