/* Checks the AMX kernels over emulated tiles, on any machine with AVX-512 and its bf16, which every AMX machine has. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amx_emulated.h"
#include "check.h"
#include "tensor/cpu/peak.h"
#include "tensor/ops.h"

enum { TILES = 8, MAX_ROWS = 16, MAX_ROW_BYTES = 64 };

static struct {
    unsigned char bytes[MAX_ROWS][MAX_ROW_BYTES];
    size_t rows, row_bytes;
} tile[TILES];

static void need(int good, const char *what)
{
    if (!good) {
        printf("AMX would fault: %s\n", what);
        abort();
    }
}

static float at(int t, size_t row, size_t i)
{
    float v;
    memcpy(&v, &tile[t].bytes[row][4 * i], sizeof v);
    return v;
}

void amx_loadconfig(const void *config)
{
    const unsigned char *c = config;
    need(c[0] == 1 && c[1] == 0, "palette 1 from row 0");
    for (size_t i = 2; i < 64; i++)
        need((i >= 16 && i < 32) || (i >= 48 && i < 56) || c[i] == 0, "reserved bytes of the configuration");
    for (size_t t = 0; t < TILES; t++) {
        const size_t row_bytes = c[16 + 2 * t] | (size_t)c[17 + 2 * t] << 8, rows = c[48 + t];
        need(rows <= MAX_ROWS && row_bytes <= MAX_ROW_BYTES, "a tile larger than 16 x 64");
        need((rows == 0) == (row_bytes == 0), "a tile with rows or columns only");
        memset(&tile[t], 0, sizeof tile[t]);
        tile[t].rows = rows;
        tile[t].row_bytes = row_bytes;
    }
}

void amx_release(void)
{
    memset(tile, 0, sizeof tile);
}

void amx_zero(int t)
{
    need(tile[t].rows > 0, "TILEZERO of a tile that is not configured");
    memset(tile[t].bytes, 0, sizeof tile[t].bytes);
}

void amx_load(int t, const void *base, size_t stride)
{
    need(tile[t].rows > 0, "TILELOADD of a tile that is not configured");
    memset(tile[t].bytes, 0, sizeof tile[t].bytes);
    for (size_t r = 0; r < tile[t].rows; r++)
        memcpy(tile[t].bytes[r], (const char *)base + r * stride, tile[t].row_bytes);
}

void amx_store(int t, void *base, size_t stride)
{
    need(tile[t].rows > 0, "TILESTORED of a tile that is not configured");
    for (size_t r = 0; r < tile[t].rows; r++)
        memcpy((char *)base + r * stride, tile[t].bytes[r], tile[t].row_bytes);
}

static float no_denormal(float v)
{
    return fpclassify(v) == FP_SUBNORMAL ? copysignf(0, v) : v;
}

/* The bf16 at half h of element i. */
static float half_of(int t, size_t row, size_t i, size_t h)
{
    wd_bf16 v;
    memcpy(&v, &tile[t].bytes[row][4 * i + 2 * h], sizeof v);
    return no_denormal(wd_bf16_to_f32(v));
}

/* Even and odd products are summed apart by fused multiply-adds, over all pairs; then added to each other, then to
 * C. Denormals are zero going in and coming out; rounding is to nearest even. */
void amx_dpbf16ps(int c, int a, int b)
{
    need(c != a && c != b && a != b, "TDPBF16PS with one tile twice");
    need(tile[c].rows > 0 && tile[c].rows == tile[a].rows && tile[c].row_bytes == tile[b].row_bytes &&
             tile[b].rows == tile[a].row_bytes / 4,
         "TDPBF16PS of shapes that do not fit");
    for (size_t m = 0; m < tile[c].rows; m++) {
        for (size_t n = 0; n < tile[c].row_bytes / 4; n++) {
            float sum[2] = { 0, 0 };
            for (size_t k = 0; k < tile[b].rows; k++) {
                for (size_t h = 0; h < 2; h++)
                    sum[h] = no_denormal(fmaf(half_of(a, m, k, h), half_of(b, k, n, h), sum[h]));
            }
            const float both = no_denormal(sum[0] + sum[1]);
            const float v = no_denormal(no_denormal(at(c, m, n)) + both);
            memcpy(&tile[c].bytes[m][4 * n], &v, sizeof v);
        }
    }
}

/* Signed bytes of a times unsigned bytes of b, four at a time, onto whole numbers of 32 bits. */
void amx_dpbsud(int c, int a, int b)
{
    need(c != a && c != b && a != b, "TDPBSUD with one tile twice");
    need(tile[c].rows > 0 && tile[c].rows == tile[a].rows && tile[c].row_bytes == tile[b].row_bytes &&
             tile[b].rows == tile[a].row_bytes / 4,
         "TDPBSUD of shapes that do not fit");
    for (size_t m = 0; m < tile[c].rows; m++) {
        for (size_t n = 0; n < tile[c].row_bytes / 4; n++) {
            uint32_t sum;
            memcpy(&sum, &tile[c].bytes[m][4 * n], sizeof sum);
            for (size_t k = 0; k < 4 * tile[b].rows; k++)
                sum += (uint32_t)((int8_t)tile[a].bytes[m][k] * tile[b].bytes[k / 4][4 * n + k % 4]);
            memcpy(&tile[c].bytes[m][4 * n], &sum, sizeof sum);
        }
    }
}

/* The peak loops configure what they use, and do what they are timed for. */
static unsigned check_peaks(void)
{
    unsigned n_bad = 0;
    for (uint64_t r = 0; r < 4; r++) {
        n_bad += wd_peak__amx_bf16_emulated(r) != 4.0 * 256 * 16 * (double)r * WD_PEAK_BF16_SUM;
        n_bad += wd_peak__amx_int8_emulated(r) != 4.0 * 256 * 16 * (double)r * WD_PEAK_INT8_SUM;
    }
    if (n_bad)
        printf("AMX peak loops: %u wrong sums\n", n_bad);
    return n_bad;
}

int main(int argc, char **argv)
{
    const uint32_t below = WD_ISA_AVX2 | WD_ISA_AVX512 | WD_ISA_AVX512_VNNI,
                   need_isa = below | WD_ISA_AVX512_BF16;
    unsigned n_check = 0;
    if ((wd_isa_detect() & need_isa) != need_isa) {
        puts("SKIPPED: needs AVX-512 with VNNI and bf16");
        return 77;
    }
    wd_kern ref, before, dut;
    wd_kern_init_ref(&ref);
    wd_kern_init(&before, below); /* so that every AMX slot is checked against the reference */
    dut = before;
    wd_kern_init_amx_emulated(&dut);
    const unsigned n_bad = wd_check_level("emulated", &ref, &before, &dut, false, argc > 1 ? argv[1] : NULL,
                                          &n_check);
    printf("AMX emulated %u cases checked\n", n_check);
    return n_bad > 0 || n_check == 0 || check_peaks() > 0;
}
