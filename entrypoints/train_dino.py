"""Train a vision model: images of crystals, a DINO vision transformer, LoRA.

mlflow run . -e train_dino --env-manager local
python -m entrypoints.train_dino --dataset 3dsc --data 3DSC_MP.tar.xz --split family
"""

from entrypoints.train import train_app

app = train_app("vision")

if __name__ == "__main__":
    app()
