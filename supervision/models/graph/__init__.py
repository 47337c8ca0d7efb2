"""The graph family: graphs of crystals and ALIGNN."""
