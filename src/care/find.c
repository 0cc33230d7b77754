/* The story "find". */
#include "care/find.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static int by_score(const void *a, const void *b)
{
    const wd_found *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->picture->slice < y->picture->slice ? -1 : 1;
}

static wd_status score_picture(wd_engine *e, const char *sentence, const wd_find_opts *o, const wd_image *im,
                               double *score, wd_err *err)
{
    const wd_part query = { WD_PART_TEXT, wd_span_str(sentence) }, document = { .kind = WD_PART_IMAGE };
    const wd_rerank_pair pair = {
        .query = { .parts = { &query, 1 } },
        .document = { .parts = { &document, 1 }, .media = { .image = im, .n_image = 1 } },
        .instruction = wd_span_str(o->instruction ? o->instruction : WD_FIND_INSTRUCTION),
        .watch = { .cancel = o->watch.cancel }
    };
    wd_arena *a = wd_arena_create((size_t)1 << 30, true); /* per picture: its patches go at once */
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "find: no memory");
    size_t n_token;
    const wd_status st = e->rerank(e->self, a, &pair, score, &n_token, err);
    wd_arena_destroy(a);
    return st;
}

wd_status wd_find_slices(wd_engine *e, const wd_study *study, const char *sentence, const wd_find_opts *o,
                         wd_arena *a, wd_find *out, wd_err *err)
{
    if (!sentence[strspn(sentence, " \t\n")])
        return WD_FAIL(err, WD_E_INVALID, "find: the sentence is empty");
    const double start = wd_clock_s();
    wd_slices *shown = WD_NEW(a, wd_slices);
    if (!shown)
        return WD_FAIL(err, WD_E_NOMEM, "find: no memory");
    WD_TRY(wd_slices_pick(study, &o->slices, a, shown, err));
    wd_find r = { .shown = shown, .n_slice = shown->n_slice };
    r.slice = WD_NEW_N(a, wd_found, r.n_slice);
    if (!r.slice)
        return WD_FAIL(err, WD_E_NOMEM, "find: no memory");
    for (uint32_t i = 0; i < shown->n_picture; i++) {
        double score;
        const wd_slice_picture *p = &shown->picture[i];
        if (o->watch.progress)
            o->watch.progress(o->watch.self, WD_STAGE_VISION, i, shown->n_picture);
        WD_TRY(score_picture(e, sentence, o, &p->image, &score, err));
        wd_found *f = &r.slice[i / shown->n_window];
        if (!f->picture || score > f->score)
            *f = (wd_found){ p, score };
    }
    qsort(r.slice, r.n_slice, sizeof *r.slice, by_score);
    r.seconds = wd_clock_s() - start;
    *out = r;
    return WD_OK;
}
