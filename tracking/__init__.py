"""All of MLflow: runs, registry, serving, comparison, studies."""
