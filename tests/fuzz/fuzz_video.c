/* Both passes of the video decoder on arbitrary bytes, and the parent's checks on what comes back. */
#include <stdlib.h>

#include "media/sandbox_inner.h"
#include "media/video_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static wd_status look(void *ctx, uint32_t i, const wd_image *im, wd_err *err)
{
    uint64_t *sum = ctx;
    (void)err;
    *sum += im->rgb[0] + im->rgb[(size_t)im->width * im->height * 3 - 1] + i;
    return WD_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const wd_video__request first = { .pass = 1 };
    const wd_span in = wd_span_of(data, size);
    wd_video__probe p = { .what = "x" };
    wd_video_info info = { 0 };
    wd_err err = { 0 };

    wd_status st = wd_sandbox__run_here(wd_decode_video, wd_span_of(&first, sizeof first), in,
                                        wd_video__take_probe, &p, &err);
    st = wd_video__end_probe(&p, st, &info, &err);
    if (st && (!err.text[0] || st == WD_E_CRASHED))
        abort(); /* no sentence, or an answer of our own making that the parent refuses */
    if (st)
        return 0;
    struct {
        wd_video__request q;
        wd_video__wanted w[2];
    } second = { { .pass = 2, .n_wanted = 2, .seekable = info.seekable }, { { 0 } } };
    const uint64_t index[2] = { 0, info.n_frame - 1 };
    second.q.n_wanted = info.n_frame > 1 ? 2 : 1;
    for (uint32_t i = 0; i < second.q.n_wanted; i++) {
        const int64_t pts = info.seekable ? info.pts[index[i]] : 0, key = info.seekable ? info.pts[0] : 0;
        second.w[i] = (wd_video__wanted){ index[i], pts, i ? pts : key, key };
    }
    uint64_t sum = 0;
    wd_video__frames f = {
        .what = "x", .index = index, .n = second.q.n_wanted, .on_frame = look, .ctx = &sum
    };
    st = wd_sandbox__run_here(wd_decode_video,
                              wd_span_of(&second, sizeof second.q + second.q.n_wanted * sizeof second.w[0]),
                              in, wd_video__take_frame, &f, &err);
    if (st == WD_E_CRASHED || st == WD_E_INTERNAL || (!st && f.next != f.n))
        abort();
    wd_video_info_free(&info);
    return 0;
}
