/* Learned absolute positions of the tower (spec section 5.3): a square table, read between its rows and columns
 * with its corners on the grid's corners. */
#include <math.h>

#include "model/pass.h"

void wd_tower__place(uint32_t w, uint32_t merge, size_t i, uint32_t *row, uint32_t *col)
{
    const size_t in_block = i % (merge * merge), block = i / (merge * merge), blocks_w = w / merge;
    *row = (uint32_t)(block / blocks_w * merge + in_block / merge);
    *col = (uint32_t)(block % blocks_w * merge + in_block % merge);
}

/* Place i of n on an axis of `side` table entries: the entry below, the entry above, the share of the latter. */
static void locate(uint32_t i, uint32_t n, uint32_t side, uint32_t *low, uint32_t *high, float *share)
{
    const float at = n > 1 ? (float)i * (float)(side - 1) / (float)(n - 1) : 0.0f;
    *low = (uint32_t)floorf(at);
    *high = WD_MIN(*low + 1, side - 1);
    *share = at - (float)*low;
}

void wd_tower__positions(wd_model *m, uint32_t h, uint32_t w, size_t first, size_t n, float *corner,
                         float *out)
{
    const wd_tower *t = m->tower;
    const size_t dim = m->cfg.vision.n_embd;
    for (size_t i = 0; i < n; i++, out += dim) {
        uint32_t row, col, y0, y1, x0, x1;
        float dy, dx;
        wd_tower__place(w, m->cfg.vision.merge_size, first + i, &row, &col);
        locate(row, h, t->side, &y0, &y1, &dy);
        locate(col, w, t->side, &x0, &x1, &dx);

        const uint32_t ids[4] = { y0 * t->side + x0, y0 * t->side + x1, y1 * t->side + x0,
                                  y1 * t->side + x1 };
        const float share[4] = { (1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx };
        m->ops->embed(m->ops->self, corner, &t->pos, ids, 4);
        for (size_t j = 0; j < dim; j++)
            out[j] = share[0] * corner[j] + share[1] * corner[dim + j] + share[2] * corner[2 * dim + j] +
                     share[3] * corner[3 * dim + j];
    }
}
