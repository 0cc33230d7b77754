"""The same picture as another drawing would have it: a little smaller or larger, moved, in other colours.

What is read off cards and bodies must not hang on where they are or on their colours; a few thousand videos show too few."""
import numpy as np
from PIL import Image


def picture(p, rng, points=None):
    """p [h][w][3] uint8 altered, and points [n][2] (x, y in pixels) where they have gone."""
    h, w = p.shape[:2]
    s = rng.uniform(0.85, 1.06)
    x, y = (rng.uniform(-4, 4) + rng.uniform(0, max(0, 1 - s)) * n for n in (w, h))
    edge = tuple(int(v) for v in p[h // 2, 0])
    im = Image.fromarray(p).transform((w, h), Image.Transform.AFFINE, (1 / s, 0, -x / s, 0, 1 / s, -y / s),
                                      Image.Resampling.BICUBIC, fillcolor=edge)
    q = np.asarray(im, np.float32)[..., rng.permutation(3)]
    if rng.random() < 0.3:
        q = 255 - q
    q = q * rng.uniform(0.75, 1.15, 3) + rng.uniform(-25, 25, 3)
    q = np.clip(q + rng.normal(0, rng.uniform(0, 4), q.shape), 0, 255).astype(np.uint8)
    return q if points is None else (q, points * s + np.array([x, y], np.float32))
