"""For a peer's Python (PYTHONPATH names this folder): PyPI's torchvision is built for CUDA, and beside a CPU build of torch its
operators are missing and importing it fails. No peer calls these two, so declaring them is enough."""
import importlib.abc
import sys

BOXES = {"nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
         "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"}


class BeforeTorchvision(importlib.abc.MetaPathFinder):
    def find_spec(self, name, _path, _target=None):
        """Declares, once, what torchvision looks for; who finds the module itself comes later in the list."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch
            for operator, schema in BOXES.items():
                torch.library.define("torchvision::" + operator, schema)


sys.meta_path.insert(0, BeforeTorchvision())
