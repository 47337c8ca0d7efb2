"""A crystal -> Tc. A model family is a folder; the protocol that all of them follow stands here."""
