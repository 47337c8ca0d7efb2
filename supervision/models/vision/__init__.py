"""The vision family: images of crystals and a DINO vision transformer with LoRA."""
