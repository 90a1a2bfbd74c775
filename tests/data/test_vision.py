from __future__ import annotations

import subprocess
import sys

import torch

from robustdd.data.torchvision_compat import SCHEMAS, torchvision


def test_image_grids_work_whatever_torch_stands_beside_torchvision():
    sheet = torchvision("utils").make_grid(torch.ones(4, 1, 2, 2), nrow=2, padding=1)
    assert sheet.shape == (3, 7, 7)
    assert torchvision().__name__ == "torchvision"


def test_asking_twice_declares_nothing_twice():
    assert torchvision("models") is torchvision("models")
    assert all(hasattr(torch.ops.torchvision, name) for name in SCHEMAS)


def test_every_part_that_may_be_used_imports_in_a_fresh_process():
    parts = ["", "datasets", "models", "transforms.v2", "utils"]
    code = "from robustdd.data.torchvision_compat import torchvision as vision; "
    code += f"print([vision(part).__name__ for part in {parts}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str([".".join(filter(None, ["torchvision", part])) for part in parts]), done.stderr
