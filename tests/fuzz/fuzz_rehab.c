/* What a model or a pose file may say about an exercise, on arbitrary bytes: a pointing reply, a pose file that is then
 * measured, and words with numbers. Points stay in the picture, angles are degrees or not measured, repetitions and
 * faults are in order and in time, and a text's own numbers are always among themselves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "care/rehab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static void point(wd_span s)
{
    wd_pose_point p[WD_N_JOINT];
    const uint32_t n = wd_pose_parse(s, 192, 144, p);
    uint32_t seen = 0;
    for (int j = 0; j < WD_N_JOINT; j++) {
        must(p[j].x >= 0 && p[j].x <= 192 && p[j].y >= 0 && p[j].y <= 144);
        seen += p[j].confidence > 0;
    }
    must(seen == n);
}

static void check(const wd_rehab_measured *m)
{
    for (uint32_t i = 0; i < m->n_sample; i++)
        must(isnan(m->sample[i].main) || (m->sample[i].main >= -1e-9 && m->sample[i].main <= 180 + 1e-9));
    for (uint32_t i = 0; i < m->n_rep; i++) {
        must(isfinite(m->rep[i].peak_deg) && m->rep[i].end_s > m->rep[i].start_s);
        must(i == 0 || m->rep[i].start_s >= m->rep[i - 1].end_s);
    }
    for (uint32_t i = 0; i < m->n_fault; i++) {
        const wd_rehab_fault *f = &m->fault[i];
        must(f->rep >= 1 && f->rep <= m->n_rep && isfinite(f->worst_deg) && f->end_s >= f->start_s);
        must(i == 0 || f->rep >= m->fault[i - 1].rep);
    }
}

static void measure(wd_span s)
{
    char path[64];
    const int fd = memfd_create("pose", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, s.p, s.n) == (ssize_t)s.n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    wd_arena *a = wd_arena_create(64u << 20, false);
    wd_pose_frame *f;
    size_t n;
    wd_err err;
    must(a != NULL);
    if (!wd_pose_read(path, a, &f, &n, &err)) {
        for (int k = 0; k < WD_N_EXERCISE; k++) {
            const wd_rehab_measure_opts o = { (wd_exercise_kind)k, (wd_view)(s.n % 4), 0.3 };
            wd_rehab_measured m;
            if (!wd_rehab_measure(f, n, &o, a, &m, &err))
                check(&m);
        }
    } else {
        must(err.text[0] != 0);
    }
    wd_arena_destroy(a);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const wd_span s = wd_span_of(data, size);
    double bad = NAN;
    if (size > 100000)
        return 0;
    point(s);
    measure(s);
    if (!wd_rehab_numbers_hold(s, s, &bad))
        must(isnan(bad)); /* only where there are too many to check */
    return 0;
}
