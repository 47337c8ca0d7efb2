"""The composition family: composition features and an ensemble of trees."""
