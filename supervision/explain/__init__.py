"""Why a model predicts its Tc for one crystal: features, sites, views, and the doping series."""
