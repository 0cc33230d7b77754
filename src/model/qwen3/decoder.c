/* The decoder (spec section 3.1): tokens and visual features in, final hidden states and logits out. */
#include <stdio.h>
#include <string.h>

#include "model/heads.h"
#include "model/pass.h"

static wd_status check_tokens(const wd_model *m, const wd_step *s, wd_err *err)
{
    const wd_text_config *c = &m->cfg.text;
    if (s->n == 0 || s->n > m->max_rows)
        return WD_FAIL(err, WD_E_INTERNAL, "step: %zu tokens, expected 1 to %u", s->n, m->max_rows);
    for (size_t i = 0; i < s->n; i++)
        if (s->ids[i] >= c->n_vocab)
            return WD_FAIL(err, WD_E_INVALID, "step: token %u is outside the vocabulary of %u", s->ids[i],
                           c->n_vocab);
    for (int a = 0; a < 3; a++)
        for (size_t i = 0; s->pos[a] && i < s->n; i++)
            if (s->pos[a][i] < 0)
                return WD_FAIL(err, WD_E_INVALID, "step: position %d is negative", s->pos[a][i]);
    for (size_t i = 0; i < s->n_out; i++)
        if (s->out_row[i] >= s->n || (i && s->out_row[i] <= s->out_row[i - 1]))
            return WD_FAIL(err, WD_E_INTERNAL, "step: row %u is wanted of %zu, or not in order",
                           s->out_row[i], s->n);
    if (!s->visual)
        return WD_OK;

    const wd_features *f = s->features;
    if (!f || f->n_embd != c->n_embd || f->n_deepstack > c->n_layer)
        return WD_FAIL(err, WD_E_INVALID, "step: visual tokens without features of %u values", c->n_embd);
    for (size_t i = 0; i < s->n; i++)
        if (s->visual[i] >= 0 && (size_t)s->visual[i] >= f->n_row)
            return WD_FAIL(err, WD_E_INVALID, "step: visual row %d is wanted of %zu", s->visual[i], f->n_row);
    return WD_OK;
}

static wd_status set_angles(const wd_pass *p, const wd_step *s, wd_err *err)
{
    const int32_t *pos[3] = { s->pos[0], s->pos[1], s->pos[2] };
    if (!pos[0]) {
        for (const wd_pass_seq *q = p->seq; q < p->seq + p->n_seq; q++) {
            const int64_t first = (int64_t)q->past + wd_kv_rope_delta(q->kv);
            if (first < 0 || first + (int64_t)q->n > INT32_MAX)
                return WD_FAIL(err, WD_E_INVALID, "step: position %lld after a shift of %d", (long long)first,
                               wd_kv_rope_delta(q->kv));
            for (uint32_t i = 0; i < q->n; i++)
                p->w->pos[q->first + i] = (int32_t)(first + (int64_t)i);
        }
        pos[0] = pos[1] = pos[2] = p->w->pos;
    }
    wd_rope__angles(&p->m->text.rope, pos, p->n, p->w->cos, p->w->sin);
    wd_trace__rows(p->trace, "text_cos", p->n, p->m->text.rope.n_pair, p->w->cos);
    wd_trace__rows(p->trace, "text_sin", p->n, p->m->text.rope.n_pair, p->w->sin);
    return WD_OK;
}

/* x = embeddings; visual tokens are overwritten by their features (spec section 5.9). */
static void embed(const wd_pass *p, const wd_step *s)
{
    const wd_ops *ops = p->m->ops;
    const size_t n_embd = p->m->cfg.text.n_embd;
    ops->embed(ops->self, p->w->x, &p->m->text.embd, s->ids, p->n);
    for (size_t i = 0; s->visual && i < p->n; i++)
        if (s->visual[i] >= 0)
            memcpy(p->w->x + i * n_embd, s->features->main + (size_t)s->visual[i] * n_embd,
                   n_embd * sizeof(float));
    wd_trace__rows(p->trace, "inputs_embeds", p->n, n_embd, p->w->x);
}

/* Keeps only the wanted rows, in place: they are ascending. */
static void keep_rows(float *x, const uint32_t *row, size_t n, size_t n_col)
{
    for (size_t i = 0; i < n; i++)
        if (row[i] != i)
            memcpy(x + i * n_col, x + row[i] * n_col, n_col * sizeof *x);
}

/* The last layer feeds nobody but the rows that are wanted: once its keys and values are stored, the others go. */
static void drop_unwanted(wd_pass *p, const wd_step *s)
{
    const size_t n_embd = p->m->cfg.text.n_embd, n_pair = p->m->text.rope.n_pair;
    p->n = s->n_out;
    p->row = s->out_row;
    keep_rows(p->w->x, p->row, p->n, n_embd);
    keep_rows(p->w->norm, p->row, p->n, n_embd);
    keep_rows(p->w->cos, p->row, p->n, n_pair);
    keep_rows(p->w->sin, p->row, p->n, n_pair);
}

/* x[visual rows] += the layer's DeepStack features (spec section 5.10), run by run of neighbours. */
static void add_deepstack(const wd_pass *p, const wd_step *s, uint32_t l)
{
    const wd_ops *ops = p->m->ops;
    const size_t n_embd = p->m->cfg.text.n_embd;
    for (size_t i = 0, run; i < p->n; i += run) {
        run = 1;
        if (s->visual[i] < 0)
            continue;
        while (i + run < p->n && s->visual[i + run] == s->visual[i] + (int32_t)run)
            run++;
        ops->add_scaled(ops->self, p->w->x + i * n_embd,
                        s->features->deepstack[l] + (size_t)s->visual[i] * n_embd, 1.0f, run * n_embd);
    }
}

static wd_status run_layers(wd_pass *p, const wd_step *s, wd_err *err)
{
    const wd_text_config *c = &p->m->cfg.text;
    const bool whole = p->trace || s->n_out == s->n; /* who traces sees every row */
    const bool deepstack_to_the_end = s->visual && s->features->n_deepstack >= c->n_layer;
    for (uint32_t l = 0; l < c->n_layer; l++) {
        if (s->cancel && atomic_load_explicit(s->cancel, memory_order_relaxed))
            return WD_FAIL(err, WD_E_CANCELLED, "cancelled");
        const bool drop = l + 1 == c->n_layer && !whole && !deepstack_to_the_end;
        wd_attention__store(p, l, !drop);
        if (drop)
            drop_unwanted(p, s);
        if (p->n == 0)
            return WD_OK;
        wd_attention__add(p, l);
        wd_trace__at(p->trace, "layer_%u_attn", l, p->n, c->n_embd, p->w->x);
        if (p->m->text.layer[l].sparse)
            wd_moe__add(p, l);
        else
            wd_mlp__add(p, l);
        wd_trace__at(p->trace, "layer_%u_mlp", l, p->n, c->n_embd, p->w->x);
        if (s->visual && l < s->features->n_deepstack)
            add_deepstack(p, s, l);
        wd_trace__at(p->trace, "layer_%u_out", l, p->n, c->n_embd, p->w->x);
    }
    return WD_OK;
}

static void read_out(const wd_pass *p, const wd_step *s)
{
    wd_model *m = p->m;
    const size_t n_embd = m->cfg.text.n_embd;
    float *hidden = s->hidden ? s->hidden : p->w->norm;
    if (s->n_out == 0 || (!s->hidden && !s->logits))
        return;
    for (size_t i = 0; i < s->n_out; i++)
        memcpy(hidden + i * n_embd, p->w->x + (p->row ? i : s->out_row[i]) * n_embd, n_embd * sizeof(float));
    m->ops->rmsnorm(m->ops->self, hidden, hidden, &m->text.norm.w, s->n_out, n_embd, m->cfg.text.rms_eps);
    wd_trace__rows(p->trace, "final_norm", s->n_out, n_embd, hidden);
    if (!s->logits)
        return;
    wd_model_logits(m, hidden, s->n_out, s->logits);
    wd_trace__rows(p->trace, "logits", s->n_out, m->cfg.text.n_vocab, s->logits);
}

/* The step's sequences, with room for their tokens. */
static wd_status take_sequences(wd_pass *p, const wd_step *s, wd_err *err)
{
    const wd_step_seq one = { s->kv, s->n }, *seq = s->n_seq ? s->seq : &one;
    const size_t n_seq = s->n_seq ? s->n_seq : 1;
    size_t row = 0;
    p->kv_opts = wd_kv_opts_of(seq[0].kv);
    for (size_t i = 0; i < n_seq; i++) {
        const wd_kv_opts *o = wd_kv_opts_of(seq[i].kv);
        if (seq[i].n == 0 || seq[i].n > s->n - row)
            return WD_FAIL(err, WD_E_INTERNAL, "step: sequence %zu has %zu tokens of %zu", i, seq[i].n, s->n);
        if (o->dtype != p->kv_opts->dtype || o->page_len != p->kv_opts->page_len)
            return WD_FAIL(err, WD_E_INTERNAL, "step: sequence %zu has other pages than the first", i);
        for (size_t k = 0; k < i; k++)
            if (seq[k].kv == seq[i].kv)
                return WD_FAIL(err, WD_E_INTERNAL, "step: sequences %zu and %zu are one", k, i);
        p->w->seq[i] = (wd_pass_seq){ .kv = seq[i].kv,
                                      .first = (uint32_t)row,
                                      .n = (uint32_t)seq[i].n,
                                      .past = (uint32_t)wd_kv_len(seq[i].kv) };
        row += seq[i].n;
    }
    if (row != s->n)
        return WD_FAIL(err, WD_E_INTERNAL, "step: sequences have %zu tokens of %zu", row, s->n);
    p->seq = p->w->seq;
    for (; p->n_seq < n_seq; p->n_seq++)
        WD_TRY(wd_kv_reserve(seq[p->n_seq].kv, seq[p->n_seq].n, err));
    return WD_OK;
}

wd_status wd_model_step(wd_model *m, const wd_step *s, wd_err *err)
{
    WD_TRY(check_tokens(m, s, err));
    wd_pass p = { .m = m, .w = &m->work, .trace = s->trace, .n_new = s->n, .n = s->n };
    wd_status st = take_sequences(&p, s, err);
    if (!st)
        st = set_angles(&p, s, err);
    if (!st) {
        embed(&p, s);
        st = run_layers(&p, s, err);
    }
    if (st) { /* the room goes back */
        for (size_t i = 0; i < p.n_seq; i++)
            wd_kv_truncate(p.seq[i].kv, p.seq[i].past);
        return st;
    }
    read_out(&p, s);
    for (size_t i = 0; i < p.n_seq; i++)
        wd_kv_commit(p.seq[i].kv, p.seq[i].n);
    return WD_OK;
}
