"""From CIF text to crystals, materials and splits; named data sets; cached features."""
