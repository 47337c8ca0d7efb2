"""The machine: locks, signals, memory, devices, random numbers, files. No crystals here."""
