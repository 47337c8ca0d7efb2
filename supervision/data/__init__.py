"""CIF text -> crystals -> materials -> splits; named data sets; featurised arrays on disk."""
