"""The descriptors of a structure, by group; ``supervision.models.structure.features`` names all."""
