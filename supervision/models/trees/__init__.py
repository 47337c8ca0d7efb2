"""Ensembles of regression trees on the features of a crystal: what families of trees share."""
