"""Three-dimensional positions of a prompt: text counts on, a picture spans its grid from where the text stands."""
import numpy as np


def of(ids, image_id, grids):
    """ids [t]; grids: (rows, cols) in tokens of each picture, in order -> [3][t] int64 (time, row, column)."""
    out = np.zeros((3, len(ids)), np.int64)
    at = here = picture = 0
    while at < len(ids):
        if ids[at] != image_id:
            out[:, at] = here
            at, here = at + 1, here + 1
            continue
        rows, cols = grids[picture]
        picture += 1
        y, x = np.mgrid[:rows, :cols]
        n = rows * cols
        out[:, at:at + n] = here + np.stack([np.zeros(n, np.int64), y.ravel(), x.ravel()])
        at, here = at + n, here + max(rows, cols)
    return out
