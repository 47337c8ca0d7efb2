"""Models that ship with the install: their figures, their cards, and the folder that holds them."""
