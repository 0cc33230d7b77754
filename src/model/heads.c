#include "model/heads.h"

#include <math.h>

#include "base/mem.h"
#include "model/pass.h"

struct wd_rerank {
    size_t n_embd;
    float diff[]; /* [n_embd] W[yes] - W[no] */
};

void wd_model_logits(wd_model *m, const float *hidden, size_t n, float *logits)
{
    wd_linear__apply(m, &m->text.head, logits, hidden, NULL, n, m->cfg.text.n_embd, m->cfg.text.n_vocab,
                     WD_ACT_NONE);
}

wd_status wd_embedding(const float *hidden, size_t n_embd, size_t dim, float *out, wd_err *err)
{
    double sum = 0;
    if (dim == 0 || dim > n_embd)
        return WD_FAIL(err, WD_E_INVALID, "embedding: %zu dimensions are asked for, expected 1 to %zu", dim,
                       n_embd);
    for (size_t i = 0; i < dim; i++)
        sum += (double)hidden[i] * hidden[i];
    if (!(sum > 0) || !isfinite(sum))
        return WD_FAIL(err, WD_E_INVALID, "embedding: the hidden state is zero or not finite");
    const double scale = 1.0 / sqrt(sum);
    for (size_t i = 0; i < dim; i++)
        out[i] = (float)(hidden[i] * scale);
    return WD_OK;
}

wd_status wd_rerank_create(wd_model *m, uint32_t yes_id, uint32_t no_id, wd_rerank **out, wd_err *err)
{
    const size_t n_embd = m->cfg.text.n_embd;
    const uint32_t ids[2] = { yes_id, no_id };
    *out = NULL;
    for (int i = 0; i < 2; i++)
        if (ids[i] >= m->cfg.text.n_vocab)
            return WD_FAIL(err, WD_E_INVALID, "reranker: token %u is outside the vocabulary of %u", ids[i],
                           m->cfg.text.n_vocab);
    wd_rerank *r = wd_calloc(1, sizeof *r + n_embd * sizeof(float));
    float *rows = WD_ALLOC_N(float, 2 * n_embd);
    if (!r || !rows) {
        wd_free(r);
        wd_free(rows);
        return WD_FAIL(err, WD_E_NOMEM, "reranker: no memory for its head");
    }
    m->ops->embed(m->ops->self, rows, &m->text.head.w, ids, 2);
    r->n_embd = n_embd;
    for (size_t i = 0; i < n_embd; i++)
        r->diff[i] = rows[i] - rows[n_embd + i];
    wd_free(rows);
    *out = r;
    return WD_OK;
}

void wd_rerank_destroy(wd_rerank *r)
{
    wd_free(r);
}

double wd_rerank_score(const wd_rerank *r, const float *hidden)
{
    double dot = 0;
    for (size_t i = 0; i < r->n_embd; i++)
        dot += (double)hidden[i] * r->diff[i];
    return 1.0 / (1.0 + exp(-dot));
}
