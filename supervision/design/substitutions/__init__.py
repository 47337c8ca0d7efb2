"""Searches among substitutions in known crystals: for a high Tc, or for one near to a target."""
