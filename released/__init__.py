"""The models that come with the package, with the sha256 of their files in ``manifest.json``."""
