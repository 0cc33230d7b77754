/* Runs of change, and what becomes of them. d[i] is the change from sample i - 1 to sample i; d[0] is 0. */
#include "care/lesson_cuts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOW_MARK 1.2      /* of the change between two samples, at least */
#define LOW_MEDIANS 3.0   /* and so many times the video's median */
#define PEAK_MARK 8.0     /* least change of a cut within a movement */
#define PEAK_MEDIANS 3.0  /* a cut is so many times its neighbours' median */
#define NEIGHBOURS 5u     /* on either side */
#define HARD_SHARE 0.6    /* of a run's change in one step: a hard cut there */
#define CALM_STEP 0.5     /* changes that differ by less are as calm as each other */
#define PARTS_MAX 100000u /* of one take */

/* Samples `before` and `after` are the last and the first that belong to the shots beside the cut. */
typedef struct cut {
    double time_s;
    uint32_t before, after;
} cut;

typedef struct finder {
    const uint8_t (*grid)[WD_CUTS_CELLS];
    const double *time_s;
    uint32_t n;
    const wd_cuts_opts *o;
    double *d, low;
    cut *cut; /* [n_cut], room for n */
    uint32_t n_cut;
} finder;

void wd_cuts_grid(const wd_image *im, uint8_t grid[WD_CUTS_CELLS])
{
    for (uint32_t r = 0; r < WD_CUTS_ROWS; r++) {
        const uint32_t y0 = (uint32_t)((uint64_t)r * im->height / WD_CUTS_ROWS);
        const uint32_t y1 = WD_MAX((uint32_t)((uint64_t)(r + 1) * im->height / WD_CUTS_ROWS), y0 + 1);
        for (uint32_t c = 0; c < WD_CUTS_COLUMNS; c++) {
            const uint32_t x0 = (uint32_t)((uint64_t)c * im->width / WD_CUTS_COLUMNS);
            const uint32_t x1 = WD_MAX((uint32_t)((uint64_t)(c + 1) * im->width / WD_CUTS_COLUMNS), x0 + 1);
            uint64_t sum[3] = { 0, 0, 0 };
            for (uint32_t y = y0; y < y1; y++) {
                const uint8_t *p = im->rgb + 3 * ((size_t)y * im->width + x0);
                for (uint32_t x = x0; x < x1; x++, p += 3) {
                    sum[0] += p[0];
                    sum[1] += p[1];
                    sum[2] += p[2];
                }
            }
            const uint64_t n = (uint64_t)(y1 - y0) * (x1 - x0);
            for (int k = 0; k < 3; k++)
                *grid++ = (uint8_t)((sum[k] + n / 2) / n);
        }
    }
}

static double difference(const finder *f, uint32_t a, uint32_t b)
{
    const uint8_t *p = f->grid[a], *q = f->grid[b];
    uint32_t sum = 0;
    for (uint32_t i = 0; i < WD_CUTS_CELLS; i++)
        sum += (uint32_t)abs(p[i] - q[i]);
    return (double)sum / WD_CUTS_CELLS;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of n values, which are reordered; 0 for none. */
static double median(double *v, uint32_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return n ? v[n / 2] : 0;
}

/* Two cuts in quick succession are one, or none when the picture is back (something came between). */
static void add_cut(finder *f, cut c)
{
    cut *last = f->n_cut ? &f->cut[f->n_cut - 1] : NULL;
    if (!last || c.time_s - last->time_s >= f->o->min_shot_s) {
        f->cut[f->n_cut++] = c;
    } else if (difference(f, last->before, c.after) < WD_MAX(f->o->change, f->low)) {
        f->n_cut--;
    } else {
        last->time_s = (last->time_s + c.time_s) / 2;
        last->after = c.after;
    }
}

/* The usual change around a .. b. */
static double unrest(const finder *f, uint32_t a, uint32_t b)
{
    double beside[2 * NEIGHBOURS];
    uint32_t n = 0;
    for (uint32_t i = a > NEIGHBOURS ? a - NEIGHBOURS : 1; i < a; i++)
        beside[n++] = f->d[i];
    for (uint32_t i = b + 1; i <= b + NEIGHBOURS && i < f->n; i++)
        beside[n++] = f->d[i];
    return median(beside, n);
}

/* Does sample i stand out among its neighbours, does what it brought stay, and had what it replaced been there? */
static bool is_peak(const finder *f, uint32_t i)
{
    return f->d[i] >= PEAK_MARK && f->d[i] >= PEAK_MEDIANS * unrest(f, i, i) &&
           (i + 1 == f->n || difference(f, i - 1, i + 1) >= f->d[i] / 2) &&
           (i < 2 || difference(f, i - 2, i) >= f->d[i] / 2);
}

/* The run of changes d[a .. b], all above the low mark. */
static void end_run(finder *f, uint32_t a, uint32_t b)
{
    const double *t = f->time_s;
    double sum = 0;
    uint32_t most = a;
    for (uint32_t i = a; i <= b; i++) {
        sum += f->d[i];
        most = f->d[i] > f->d[most] ? i : most;
    }
    if (t[b] - t[a - 1] > f->o->fade_s && b > a) {
        for (uint32_t i = a; i <= b; i++)
            if (is_peak(f, i))
                add_cut(f, (cut){ (t[i - 1] + t[i]) / 2, i - 1, i });
        return;
    }
    const double change = difference(f, a - 1, b);
    if (change >= WD_MAX(f->o->change, f->low) && change >= PEAK_MEDIANS * unrest(f, a, b)) {
        const bool hard = f->d[most] >= HARD_SHARE * sum;
        add_cut(f, (cut){ hard ? (t[most - 1] + t[most]) / 2 : (t[a - 1] + t[b]) / 2, a - 1, b });
    }
}

static void find_cuts(finder *f)
{
    uint32_t run = 0; /* where it began; 0: not in one */
    for (uint32_t i = 1; i < f->n; i++) {
        if (f->d[i] > f->low) {
            run = run ? run : i;
        } else if (run) {
            end_run(f, run, i - 1);
            run = 0;
        }
    }
    if (run)
        end_run(f, run, f->n - 1);
}

/* The calmest sample of first .. last in the middle half; of equally calm ones the one nearest the middle. */
static uint32_t key_of(const finder *f, uint32_t first, uint32_t last)
{
    const uint32_t quarter = (last - first) / 4, middle = first + (last - first) / 2;
    uint32_t best = middle;
    double best_cost = INFINITY;
    for (uint32_t i = first + quarter; i <= last - quarter; i++) {
        const double change = f->d[i] + (i + 1 < f->n ? f->d[i + 1] : 0);
        const double off = fabs((double)i - middle) / (last - first + 1); /* < 1 */
        const double cost = floor(change / CALM_STEP) + off;
        if (cost < best_cost) {
            best = i;
            best_cost = cost;
        }
    }
    return best;
}

/* Parts of a shot that no single picture can stand for. */
static uint32_t parts_of(const finder *f, double length_s)
{
    const double parts = ceil(length_s / f->o->long_s - 1e-9);
    return parts > 1 ? (uint32_t)WD_MIN(parts, PARTS_MAX) : 1;
}

/* A shot from start_s to end_s whose own samples are first .. last becomes one or more. */
static void put_shot(const finder *f, double start_s, double end_s, uint32_t first, uint32_t last,
                     wd_shot *out, uint32_t *n_out)
{
    const uint32_t parts = parts_of(f, end_s - start_s);
    uint32_t from = first;
    for (uint32_t p = 0; p < parts; p++) {
        const double s = start_s + (end_s - start_s) * p / parts,
                     e = start_s + (end_s - start_s) * (p + 1) / parts;
        uint32_t to = from;
        while (to < last && (p + 1 == parts || f->time_s[to + 1] < e))
            to++;
        out[(*n_out)++] = (wd_shot){ s, e, key_of(f, from, to), p > 0 };
        from = WD_MIN(to + 1, last);
    }
}

static wd_status put_shots(finder *f, double end_s, wd_arena *a, wd_shot **out, uint32_t *n_out, wd_err *err)
{
    /* What is too short at either end belongs to its neighbour. */
    uint32_t begin = 0, n = f->n_cut;
    if (n && f->cut[0].time_s - f->time_s[0] < f->o->min_shot_s)
        begin = 1;
    if (n > begin && end_s - f->cut[n - 1].time_s < f->o->min_shot_s)
        n--;
    size_t room = 0;
    for (uint32_t i = begin; i <= n; i++) {
        const double s = i == begin ? f->time_s[0] : f->cut[i - 1].time_s,
                     e = i == n ? end_s : f->cut[i].time_s;
        room += parts_of(f, e - s);
    }
    wd_shot *shot = WD_NEW_N(a, wd_shot, room);
    if (!shot)
        return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory for the shots");
    *n_out = 0;
    for (uint32_t i = begin; i <= n; i++) {
        const double s = i == begin ? f->time_s[0] : f->cut[i - 1].time_s,
                     e = i == n ? end_s : f->cut[i].time_s;
        const uint32_t first = i ? f->cut[i - 1].after : 0;
        const uint32_t last = i < f->n_cut ? f->cut[i].before : f->n - 1;
        put_shot(f, s, e, WD_MIN(first, last), last, shot, n_out);
    }
    *out = shot;
    return WD_OK;
}

wd_status wd_cuts_find(const uint8_t (*grid)[WD_CUTS_CELLS], const double *time_s, uint32_t n, double end_s,
                       const wd_cuts_opts *o, wd_arena *a, wd_shot **out, uint32_t *n_out, wd_err *err)
{
    finder f = { .grid = grid, .time_s = time_s, .n = n, .o = o };
    f.d = WD_NEW_N(a, double, n);
    double *sorted = WD_NEW_N(a, double, n);
    f.cut = WD_NEW_N(a, cut, n);
    if (!f.d || !sorted || !f.cut)
        return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory for the cuts");
    for (uint32_t i = 1; i < n; i++)
        f.d[i] = sorted[i - 1] = difference(&f, i - 1, i);
    f.low = WD_MAX(LOW_MARK, LOW_MEDIANS * median(sorted, n - 1));
    find_cuts(&f);
    return put_shots(&f, WD_MAX(end_s, time_s[n - 1]), a, out, n_out, err);
}
