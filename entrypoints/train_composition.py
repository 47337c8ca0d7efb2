"""Train the baseline: trees on the composition alone, in seconds.

mlflow run . -e train_composition --env-manager local
python -m entrypoints.train_composition --dataset 3dsc --data 3DSC_MP.tar.xz --split family
"""

from entrypoints.train import train_app

app = train_app("composition")

if __name__ == "__main__":
    app()
