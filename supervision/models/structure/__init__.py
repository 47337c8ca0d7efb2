"""Trees on composition features and structural descriptors of a crystal."""
