"""Loads what the crate exported into the reference networks with strict=True and compares the logits.

    TWINS_EXPORT_DIR=$PWD/export cargo test --release -p twins-models --lib export
    python3 check_export.py export
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "torch"))
from generate import images, nets  # noqa: E402


def main(folder):
    expected = load_file(HERE / "torch/expected.safetensors")
    for name, net, shape in nets():
        net.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=True)
        with torch.no_grad():
            difference = (net.eval()(images(shape)) - expected[f"{name}/eval"]).abs().max().item()
        print(f"{name}: loaded with strict=True, largest difference of the logits {difference:.1e}")
        assert difference < 1e-5


if __name__ == "__main__":
    main(Path(sys.argv[1]))
