"""The median Tc of the training materials for every crystal: the trivial baseline."""
