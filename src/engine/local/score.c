/* Embedding and reranking: one pass over a prompt, read off the last token's hidden state. */
#include <string.h>

#include "engine/local/inner.h"

#define EMBED_TOKENS_MAX 8192 /* of the published wrappers (spec sections 9.1, 9.2) */
#define RERANK_TOKENS_MAX 10240
#define RERANK_TAIL 5 /* im_end, newline, im_start, assistant, newline */

/* By family: a VL model without its tower (GGUF) has its prompts all the same. */
static bool is_vl(const wd_local *e)
{
    return e->cfg->arch == WD_ARCH_QWEN3_VL || e->cfg->arch == WD_ARCH_QWEN3_VL_MOE;
}

/* The text of an item for a model without eyes: its text parts joined. */
static wd_status plain_text(wd_arena *a, wd_chat_item item, wd_span *out, wd_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < item.n_part; i++) {
        if (item.part[i].kind != WD_PART_TEXT)
            return WD_FAIL(err, WD_E_UNSUPPORTED, "this model takes no images or videos");
        n += item.part[i].text.n;
    }
    uint8_t *p = wd_arena_alloc(a, n, 1);
    if (!p)
        return WD_FAIL(err, WD_E_NOMEM, "text: no memory");
    *out = wd_span_of(p, n);
    for (size_t i = 0; i < item.n_part; i++) {
        if (item.part[i].text.n)
            memcpy(p, item.part[i].text.p, item.part[i].text.n);
        p += item.part[i].text.n;
    }
    return WD_OK;
}

/* Right truncation to most - 1 tokens and the end anchor, as the official embedding wrapper does. */
static wd_status cut_right(wd_local_prompt *p, size_t most, wd_err *err)
{
    if (p->n <= most)
        return WD_OK;
    const wd_prompt_place *last = p->text.n_place ? &p->text.place[p->text.n_place - 1] : NULL;
    if (last && last->first + last->n > most - 1)
        return WD_FAIL(err, WD_E_LIMIT, "the item has %zu tokens and its images reach past the limit of %zu",
                       p->n, most);
    p->text.id[most - 1] = p->text.id[p->n - 1];
    for (int k = 0; k < 3; k++)
        p->pos[k][most - 1] = p->pos[k][most - 2] + 1;
    p->n = most;
    return WD_OK;
}

/* The official wrappers' budget, but no more than the model's processor or the user allows. */
static wd_pixel_budget pixel_budget(const wd_local *e)
{
    wd_pixel_budget b = WD_PIXEL_BUDGET_EMBED;
    b.max_pixels = WD_MIN(b.max_pixels, e->o.processor.image_budget.max_pixels);
    b.min_pixels = WD_MIN(b.min_pixels, b.max_pixels);
    return b;
}

/* The final-norm state of the prompt's last token, in the arena. */
static wd_status last_state(wd_local *e, wd_arena *a, const wd_local_prompt *p, const wd_terms *terms,
                            const wd_watch *watch, float **out, wd_err *err)
{
    wd_local_job job;
    const size_t n_embd = e->cfg->text.n_embd;
    *out = WD_NEW_N(a, float, n_embd);
    if (!*out)
        return WD_FAIL(err, WD_E_NOMEM, "hidden state: no memory");
    WD_TRY(wd_local__job(e, a, p, 0, WD_LOCAL_HIDDEN, terms, watch, &job, err));
    wd_status st = wd_local__enter(e, &job, err);
    if (!st)
        st = wd_local__wait(e, &job, err);
    if (!st)
        memcpy(*out, job.row, n_embd * sizeof **out);
    wd_local__leave(e, &job, 0);
    return st;
}

wd_status wd_local__embed(void *self, wd_arena *a, const wd_embed *rq, const float **out, uint32_t *dim,
                          size_t *n_token, wd_err *err)
{
    wd_local *e = self;
    const uint32_t n_embd = e->cfg->text.n_embd, want = rq->dim ? rq->dim : n_embd;
    if (want > n_embd)
        return WD_FAIL(err, WD_E_INVALID, "embedding: %u values wanted, the model has %u", want, n_embd);
    wd_chat_text text;
    if (is_vl(e)) {
        WD_TRY(wd_chat_vl_embedding(a, rq->instruction, rq->item.parts, &text, err));
    } else {
        wd_span plain;
        WD_TRY(plain_text(a, rq->item.parts, &plain, err));
        WD_TRY(wd_chat_embedding(a, rq->instruction, plain, &text, err));
    }
    wd_local_prompt p;
    const wd_pixel_budget budget = pixel_budget(e);
    WD_TRY(wd_local__prepare(e, a, &text, &rq->item.media, &budget, true, &rq->watch, &p, err));
    WD_TRY(cut_right(&p, EMBED_TOKENS_MAX, err));

    float *v;
    WD_TRY(last_state(e, a, &p, &rq->terms, &rq->watch, &v, err));
    WD_TRY(wd_embedding(v, n_embd, want, v, err));
    *out = v;
    *dim = want;
    *n_token = p.n;
    return WD_OK;
}

/* The official wrapper drops trailing tokens before the last five, but never a special one (spec 9.2). */
static wd_status drop_tail(wd_local *e, wd_local_prompt *p, size_t most, wd_err *err)
{
    size_t excess = p->n > most ? p->n - most : 0;
    if (!excess)
        return WD_OK;
    size_t keep = p->n; /* tokens are removed from behind: those kept move to the end of the array */
    for (size_t i = p->n; i-- > 0;) {
        const bool tail = i + RERANK_TAIL >= p->n;
        if (!tail && excess && !wd_tokenizer_is_special(e->o.tokenizer, p->id[i])) {
            excess--;
            continue;
        }
        p->text.id[--keep] = p->text.id[i];
    }
    if (p->text.n_place)
        return WD_FAIL(err, WD_E_LIMIT, "the pair has %zu tokens, more than %zu, and holds images", p->n,
                       most);
    memmove(p->text.id, p->text.id + keep, (p->n - keep) * sizeof *p->text.id);
    p->n -= keep;
    return WD_OK; /* text only: positions count up and stay right */
}

wd_status wd_local__rerank(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score, size_t *n_token,
                           wd_err *err)
{
    wd_local *e = self;
    if (!e->rerank)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "tokenizer.json: \"yes\" and \"no\" are no single tokens: not a reranker");
    wd_chat_text text;
    if (is_vl(e)) {
        WD_TRY(wd_chat_vl_reranker(a, rq->instruction, rq->query.parts, rq->document.parts, &text, err));
    } else {
        wd_span query, document;
        WD_TRY(plain_text(a, rq->query.parts, &query, err));
        WD_TRY(plain_text(a, rq->document.parts, &document, err));
        WD_TRY(wd_chat_reranker(a, rq->instruction, query, document, &text, err));
    }
    /* Media of the query come first in the prompt, then the document's. */
    const wd_media *q = &rq->query.media, *d = &rq->document.media;
    wd_image *images = WD_NEW_N(a, wd_image, q->n_image + d->n_image);
    wd_video_source *videos = WD_NEW_N(a, wd_video_source, q->n_video + d->n_video);
    if (!images || !videos)
        return WD_FAIL(err, WD_E_NOMEM, "media: no memory");
    for (uint32_t i = 0; i < q->n_image + d->n_image; i++)
        images[i] = i < q->n_image ? q->image[i] : d->image[i - q->n_image];
    for (uint32_t i = 0; i < q->n_video + d->n_video; i++)
        videos[i] = i < q->n_video ? q->video[i] : d->video[i - q->n_video];
    const wd_media all = { images, q->n_image + d->n_image, videos, q->n_video + d->n_video };

    wd_local_prompt p;
    const wd_pixel_budget budget = pixel_budget(e);
    WD_TRY(wd_local__prepare(e, a, &text, &all, &budget, false, &rq->watch, &p, err));
    WD_TRY(drop_tail(e, &p, RERANK_TOKENS_MAX, err));
    float *state;
    WD_TRY(last_state(e, a, &p, &rq->terms, &rq->watch, &state, err));
    *score = wd_rerank_score(e->rerank, state);
    *n_token = p.n;
    return WD_OK;
}
