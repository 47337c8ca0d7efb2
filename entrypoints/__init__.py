"""Thin command lines, one file per entry point of MLproject.

Two OpenMP pools (torch's and numpy's or OpenCV's) spin against each other on small machines
unless they wait passively, which must be set before torch is imported.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
