/* Times the loops of peak.h on one thread and on all. */
#include "tensor/cpu/limits.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "tensor/cpu/peak.h"

#if WD_ARCH_X86_64
#include <cpuid.h>
#endif

#define BUFFER_MIN ((size_t)512 << 20)
#define CACHES 8 /* so many times the last cache is read: what stays in it does not matter */
#define HUGE_PAGE ((size_t)2 << 20)
#define GRAIN 4096u /* of a thread's share: a page */
#define PARTS 6     /* a rate is the best of about so many runs */

/* ---- what there is ---- */

typedef struct peak_kind {
    const char *name, *key;
    uint32_t isa;
    double ops; /* per round */
    wd_peak_fn run;
} peak_kind;

#if WD_ARCH_X86_64
#define LOOP(fn) fn
#else
#define LOOP(fn) NULL
#endif

static const peak_kind kinds[WD_PEAK_COUNT] = {
    [WD_PEAK_AVX2_F32] = { "AVX2 f32 (FMA)", "avx2_f32", WD_ISA_AVX2, 2.0 * 8 * WD_PEAK_ACC_AVX2,
                           LOOP(wd_peak__avx2_f32) },
    [WD_PEAK_AVX512_F32] = { "AVX-512 f32 (FMA)", "avx512_f32", WD_ISA_AVX512, 2.0 * 16 * WD_PEAK_ACC_AVX512,
                             LOOP(wd_peak__avx512_f32) },
    [WD_PEAK_AVX512_BF16] = { "AVX-512 bf16 (VDPBF16PS)", "avx512_bf16", WD_ISA_AVX512_BF16,
                              4.0 * 16 * WD_PEAK_ACC_AVX512, LOOP(wd_peak__avx512_bf16) },
    [WD_PEAK_AVX512_INT8] = { "AVX-512 int8 (VNNI)", "avx512_int8", WD_ISA_AVX512_VNNI,
                              8.0 * 16 * WD_PEAK_ACC_AVX512, LOOP(wd_peak__avx512_int8) },
    [WD_PEAK_AMX_BF16] = { "AMX bf16", "amx_bf16", WD_ISA_AMX, 2.0 * 16 * 16 * 32 * WD_PEAK_ACC_AMX,
                           LOOP(wd_peak__amx_bf16) },
    [WD_PEAK_AMX_INT8] = { "AMX int8", "amx_int8", WD_ISA_AMX, 2.0 * 16 * 16 * 64 * WD_PEAK_ACC_AMX,
                           LOOP(wd_peak__amx_int8) },
};

#if WD_ARCH_X86_64
/* Intel's leaf 4 and AMD's 0x8000001D have one form: type and level, ways, partitions, line, sets. */
static void find_caches(size_t bytes[WD_CACHE_LEVELS])
{
    static const uint32_t leaf[] = { 4, 0x8000001Du };
    for (size_t l = 0; l < WD_COUNT(leaf); l++) {
        uint32_t a, b, c, d;
        for (uint32_t i = 0; __get_cpuid_count(leaf[l], i, &a, &b, &c, &d) && (a & 31u); i++) {
            const uint32_t type = a & 31u, level = a >> 5 & 7u; /* 1 data, 2 instructions, 3 both */
            if (type == 2 || level < 1 || level > WD_CACHE_LEVELS)
                continue;
            bytes[level - 1] = (size_t)((b >> 22) + 1) * ((b >> 12 & 0x3ffu) + 1) * ((b & 0xfffu) + 1) *
                               (c + (size_t)1);
        }
    }
}

/* The brand string: 48 bytes from three leaves, padded with blanks on either side. */
static void find_name(char name[49])
{
    uint32_t r[12];
    if (!__get_cpuid(0x80000004u, &r[8], &r[9], &r[10], &r[11]))
        return;
    __get_cpuid(0x80000002u, &r[0], &r[1], &r[2], &r[3]);
    __get_cpuid(0x80000003u, &r[4], &r[5], &r[6], &r[7]);
    char text[49] = "";
    memcpy(text, r, sizeof r);
    const size_t first = strspn(text, " ");
    size_t n = strlen(text);
    while (n > first && text[n - 1] == ' ')
        n--;
    memcpy(name, text + first, n - first);
}

static wd_read_fn reader(uint32_t isa)
{
    if (isa & WD_ISA_AVX512)
        return wd_read__avx512;
    return isa & WD_ISA_AVX2 ? wd_read__avx2 : wd_read__ref;
}
#else
static void find_caches(size_t bytes[WD_CACHE_LEVELS])
{
    (void)bytes;
}

static void find_name(char name[49])
{
    (void)name;
}

static wd_read_fn reader(uint32_t isa)
{
    (void)isa;
    return wd_read__ref;
}
#endif

const char *wd_peak_name(wd_peak p)
{
    return kinds[p].name;
}

const char *wd_peak_key(wd_peak p)
{
    return kinds[p].key;
}

uint64_t wd_read__ref(const void *p, size_t n, size_t ahead)
{
    enum { N = 8 };
    uint64_t acc[N] = { 0 }, word[N];
    for (const char *at = p, *end = at + n; at < end; at += sizeof word) {
        if (ahead)
            WD_PREFETCH((const void *)((uintptr_t)at + ahead));
        memcpy(word, at, sizeof word);
        WD_UNROLL
        for (int i = 0; i < N; i++)
            acc[i] ^= word[i];
    }
    for (int i = 1; i < N; i++)
        acc[0] ^= acc[i];
    return acc[0];
}

/* ---- timing ---- */

/* One measurement: each worker does `work` over and over; `amount` is what one call of all of them does. */
typedef struct trial {
    wd_pool *pool; /* NULL: this thread */
    wd_peak_fn peak;
    uint64_t rounds;
    wd_read_fn read;
    const uint8_t *buffer;
    size_t n, ahead;
    volatile uint64_t
        sink[64]; /* keeps results alive; threads beyond share places, which costs nothing here */
} trial;

static void trial_part(void *arg, unsigned worker, unsigned n_worker)
{
    trial *t = arg;
    if (t->peak) {
        const double sum = t->peak(t->rounds); /* anything */
        uint64_t bits;
        memcpy(&bits, &sum, sizeof bits);
        t->sink[worker % WD_COUNT(t->sink)] = bits;
        return;
    }
    size_t first, last;
    wd_pool_share(t->n, GRAIN, worker, n_worker, &first, &last);
    t->sink[worker % WD_COUNT(t->sink)] = t->read(t->buffer + first, last - first, t->ahead);
}

static double timed(trial *t)
{
    const double start = wd_clock_s();
    wd_pool_run(t->pool, trial_part, t);
    return wd_clock_s() - start;
}

/* Operations per second: rounds are doubled until a run is long enough to be timed. */
static double peak_rate(wd_pool *pool, const peak_kind *k, double seconds)
{
    trial t = { .pool = pool, .peak = k->run, .rounds = 1000 };
    double best = 0, spent = 0;
    while (spent < seconds) {
        const double s = timed(&t);
        spent += s;
        if (s < seconds / PARTS / 2) {
            t.rounds *= 2;
            continue;
        }
        best = WD_MAX(best, (double)t.rounds * k->ops * wd_pool_size(pool) / s);
    }
    return best;
}

static double read_rate(wd_pool *pool, wd_read_fn read, const uint8_t *buffer, size_t n, size_t ahead,
                        double seconds)
{
    trial t = { .pool = pool, .read = read, .buffer = buffer, .n = n, .ahead = ahead };
    double best = 0, spent = 0;
    while (spent < seconds) {
        const double s = timed(&t);
        spent += s;
        best = WD_MAX(best, (double)n / s);
    }
    return best;
}

/* ---- memory ---- */

typedef struct buffer {
    void *map;
    size_t map_bytes;
    uint8_t *p; /* [n] within, on a border of huge pages */
    size_t n, huge;
} buffer;

static void touch_part(void *arg, unsigned worker, unsigned n_worker)
{
    const buffer *b = arg;
    size_t first, last;
    wd_pool_share(b->n, GRAIN, worker, n_worker, &first, &last);
    memset(b->p + first, 0x5A, last - first); /* whoever reads it touches it first: near its memory */
}

/* Bytes of this process that lie in huge pages; 0 where Linux does not tell. Not base/file: such a file has no size. */
static size_t huge_now(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (size_t)kib << 10;
}

static wd_status take_buffer(wd_pool *pool, size_t n, bool huge, buffer *out, wd_err *err)
{
    buffer b = { .map_bytes = n + HUGE_PAGE, .n = n };
    b.map = mmap(NULL, b.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.map == MAP_FAILED)
        return WD_FAIL(err, WD_E_NOMEM, "measuring the memory: no buffer of %zu MiB", n >> 20);
    b.p = (uint8_t *)(((uintptr_t)b.map + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    const size_t before = huge_now();
    /* Where the system refuses the advice, the pages are what they are, and huge says so. */
    (void)madvise(b.map, b.map_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    wd_pool_run(pool, touch_part, &b);
    const size_t after = huge_now();
    b.huge = after > before ? after - before : 0;
    *out = b;
    return WD_OK;
}

static size_t buffer_size(const wd_limits_opts *o, const wd_limits *l)
{
    size_t n = o->buffer_bytes;
    if (!n) {
        const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        n = WD_MAX(BUFFER_MIN, CACHES * l->cache[WD_CACHE_LEVELS - 1]);
        if (pages > 0 && page > 0)
            n = WD_MIN(n, (size_t)pages / 8 * (size_t)page);
    }
    return WD_MAX(n / HUGE_PAGE, (size_t)1) * HUGE_PAGE;
}

static wd_status measure_reading(const wd_limits_opts *o, bool huge, wd_limits *l, wd_err *err)
{
    static const size_t ahead[] = { 1024, 4096 };
    const wd_read_fn read = reader(o->isa);
    buffer b = { 0 };
    WD_TRY(take_buffer(o->pool, l->buffer_bytes, huge, &b, err));
    l->read[huge][0].one = read_rate(NULL, read, b.p, b.n, 0, o->seconds);
    l->read[huge][0].all = read_rate(o->pool, read, b.p, b.n, 0, o->seconds);
    for (size_t i = 0; i < WD_COUNT(ahead); i++) {
        wd_rate *r = &l->read[huge][1];
        r->one = WD_MAX(r->one, read_rate(NULL, read, b.p, b.n, ahead[i], o->seconds));
        r->all = WD_MAX(r->all, read_rate(o->pool, read, b.p, b.n, ahead[i], o->seconds));
    }
    if (huge)
        l->huge_bytes = WD_MIN(b.huge, b.n);
    munmap(b.map, b.map_bytes);
    return WD_OK;
}

wd_status wd_limits_measure(const wd_limits_opts *o, wd_limits *out, wd_err *err)
{
    wd_limits l = { .n_thread = wd_pool_size(o->pool), .isa = o->isa };
    find_name(l.cpu);
    find_caches(l.cache);
    l.buffer_bytes = buffer_size(o, &l);
    WD_TRY(measure_reading(o, false, &l, err));
    WD_TRY(measure_reading(o, true, &l, err));
    for (size_t i = 0; i < WD_PEAK_COUNT; i++) {
        if (!kinds[i].run || (o->isa & kinds[i].isa) != kinds[i].isa)
            continue;
        l.peak[i].one = peak_rate(NULL, &kinds[i], o->seconds);
        l.peak[i].all = peak_rate(o->pool, &kinds[i], o->seconds);
    }
    *out = l;
    return WD_OK;
}

wd_rate wd_limits_read(const wd_limits *l)
{
    wd_rate best = { 0 };
    for (int huge = 0; huge < 2; huge++) {
        for (int ahead = 0; ahead < 2; ahead++) {
            best.one = WD_MAX(best.one, l->read[huge][ahead].one);
            best.all = WD_MAX(best.all, l->read[huge][ahead].all);
        }
    }
    return best;
}

wd_rate wd_limits_peak(const wd_limits *l, uint32_t peaks, wd_peak *which)
{
    wd_rate best = { 0 };
    wd_peak at = WD_PEAK_COUNT;
    for (unsigned i = 0; i < WD_PEAK_COUNT; i++) {
        if ((peaks >> i & 1u) && l->peak[i].all > best.all) {
            best = l->peak[i];
            at = (wd_peak)i;
        }
    }
    if (which)
        *which = at;
    return best;
}
