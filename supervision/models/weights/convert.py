"""Converts published checkpoints to tensors with the names that timm and alignn use."""

import io

import torch

from supervision.models.weights.sources import StateDict, WeightsError


def dinov2_from_onnx(content: bytes) -> StateDict:
    """The DINOv2 backbone of an exported ONNX graph, under timm's names.

    The graph keeps the names of Hugging Face transformers (``backbone.encoder.layer.0...``) for
    biases, norms and layer scales. The weight matrices are the second inputs of its MatMul nodes,
    stored transposed. The position embeddings of the class token and of the grid are unnamed
    constants of shape (1, 1, D) and (1, N, D).
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(content).graph
    named = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    matrix = {
        node.name: named[node.input[1]].T.contiguous()
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in named
    }
    width = named["backbone.layernorm.weight"].numel()
    position = [
        t for n, t in named.items() if not n.startswith("backbone") and t.shape[-1:] == (width,)
    ]
    position = sorted((t for t in position if t.ndim == 3), key=lambda t: t.shape[1])
    state = {
        "cls_token": named["backbone.embeddings.cls_token"],
        "pos_embed": torch.cat(position, dim=1),
        "patch_embed.proj.weight": named["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": named["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": named["backbone.layernorm.weight"],
        "norm.bias": named["backbone.layernorm.bias"],
    }
    layer = 0
    while f"backbone.encoder.layer.{layer}.norm1.weight" in named:
        state |= _onnx_layer(layer, named, matrix)
        layer += 1
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _onnx_layer(layer: int, named: StateDict, matrix: StateDict) -> StateDict:
    source = f"backbone.encoder.layer.{layer}"
    node = f"/backbone/encoder/layer.{layer}"
    block = f"blocks.{layer}"
    qkv = ("query", "key", "value")
    state = {
        f"{block}.attn.qkv.weight": torch.cat(
            [matrix[f"{node}/attention/attention/{part}/MatMul"] for part in qkv]
        ),
        f"{block}.attn.qkv.bias": torch.cat(
            [named[f"{source}.attention.attention.{part}.bias"] for part in qkv]
        ),
        f"{block}.attn.proj.weight": matrix[f"{node}/attention/output/dense/MatMul"],
        f"{block}.attn.proj.bias": named[f"{source}.attention.output.dense.bias"],
        f"{block}.ls1.gamma": named[f"{source}.layer_scale1.lambda1"],
        f"{block}.ls2.gamma": named[f"{source}.layer_scale2.lambda1"],
    }
    for part in ("norm1", "norm2"):
        for kind in ("weight", "bias"):
            state[f"{block}.{part}.{kind}"] = named[f"{source}.{part}.{kind}"]
    for part in ("fc1", "fc2"):
        state[f"{block}.mlp.{part}.weight"] = matrix[f"{node}/mlp/{part}/MatMul"]
        state[f"{block}.mlp.{part}.bias"] = named[f"{source}.mlp.{part}.bias"]
    return state


def alignn_from_checkpoint(content: bytes) -> StateDict:
    """The tensors of an alignn checkpoint: a state dict, or a dict with one under ``model``.

    Raises WeightsError if the file is damaged or contains anything but tensors and plain values.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        raise WeightsError("the checkpoint is damaged, or contains more than tensors") from error
    state = state.get("model", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(x) for x in state.values()):
        raise WeightsError("the checkpoint contains no state dict")
    return {name: tensor.contiguous() for name, tensor in state.items()}
