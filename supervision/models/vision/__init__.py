"""Pictures of crystals, read by a DINO vision transformer with LoRA."""
