"""How torch computes in every stage: the last digits of all results hang on it, and every key on this file."""

from __future__ import annotations

import torch


def compute_exactly(threads: int) -> None:
    """Set torch as the results of this project ask for: this many threads, deterministic, float32 in full."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32: PyTorch's default rounds a GPU's convolutions
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False  # bfloat16 means operands, never sums
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms does the same and imports a compiler
