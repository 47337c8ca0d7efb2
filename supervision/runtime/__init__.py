"""Operating system and hardware: locks, signals, memory, devices, random numbers, files."""
