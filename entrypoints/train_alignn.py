"""Train a graph model: crystals as graphs, ALIGNN, a head.

mlflow run . -e train_alignn --env-manager local
python -m entrypoints.train_alignn --dataset 3dsc --data 3DSC_MP.tar.xz --split family
"""

from entrypoints.train import train_app

app = train_app("graph")

if __name__ == "__main__":
    app()
