"""The ensemble family: several models of other families, combined with fitted weights."""
