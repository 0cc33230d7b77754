#!/usr/bin/env python3
"""The mean of states of one training, as a checkpoint: average.py --vocabulary DIR --export DIR STATE.pt STATE.pt ...

What the last minutes of each part overfit or forgot differs from state to state, and what they learnt does not: the mean
finds more than any of them (docs/demo-model.md)."""
import argparse

import torch

import export
import net
import shape
import vocabulary


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--vocabulary", required=True)
    p.add_argument("--export", required=True)
    p.add_argument("states", nargs="+")
    a = p.parse_args()
    model = net.Net(shape.sees(vocabulary.Vocabulary(a.vocabulary).n))
    states = [torch.load(path, weights_only=True)["net"] for path in a.states]
    model.load_state_dict({k: sum(s["model." + k] for s in states) / len(states) for k in model.state_dict()})
    export.write(a.export, model, a.vocabulary)


if __name__ == "__main__":
    main()
