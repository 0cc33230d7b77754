/* AMX: tile products in bf16 (TDPBF16PS) and int8 (TDPBSUD), four sums at a time as the kernels keep them. */
#include <immintrin.h>
#include <string.h>

#include "base/compiler.h"
#include "tensor/cpu/peak.h"
#include "tensor/dtype.h"

enum { ROWS = 16, ROW_BYTES = 64, TILES = 8 };

/* All eight tiles as large as they can be (Intel SDM volume 1, "TILECFG"). The members are volatile because GCC 12 tells
 * its optimiser that _tile_loadconfig reads eight bytes, and would drop the stores of the rest. */
static void configure(void)
{
    volatile struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } c = { .palette = 1 };
    for (int t = 0; t < TILES; t++) {
        c.rows[t] = ROWS;
        c.row_bytes[t] = ROW_BYTES;
    }
    _tile_loadconfig((const void *)&c);
}

/* Tiles 4 and 5 from rows of a, 6 and 7 from rows of b, over and over the same four bytes; 0 to 3 are zero. */
static void begin(uint32_t a, uint32_t b)
{
    uint32_t row[2][ROW_BYTES / 4];
    for (size_t i = 0; i < ROW_BYTES / 4; i++) {
        row[0][i] = a;
        row[1][i] = b;
    }
    configure();
    WD_BARRIER();
    _tile_loadd(4, row[0], 0);
    _tile_loadd(5, row[0], 0);
    _tile_loadd(6, row[1], 0);
    _tile_loadd(7, row[1], 0);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

static uint32_t pair(float even, float odd)
{
    return (uint32_t)wd_f32_to_bf16(odd) << 16 | wd_f32_to_bf16(even);
}

#define STORE(tile, to)                    \
    do {                                   \
        _tile_stored(tile, to, ROW_BYTES); \
        WD_BARRIER();                      \
    } while (0)

double wd_peak__amx_bf16(uint64_t rounds)
{
    float c[ROWS * ROW_BYTES / 4];
    double sum = 0;
    begin(pair(0.5f, 0.25f), pair(3.0f, 2.0f));
    for (uint64_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    for (int t = 0; t < WD_PEAK_ACC_AMX; t++) {
        switch (t) { /* a tile's number is part of the instruction */
        case 0:
            STORE(0, c);
            break;
        case 1:
            STORE(1, c);
            break;
        case 2:
            STORE(2, c);
            break;
        default:
            STORE(3, c);
        }
        for (size_t i = 0; i < WD_COUNT(c); i++)
            sum += (double)c[i];
    }
    _tile_release();
    return sum;
}

double wd_peak__amx_int8(uint64_t rounds)
{
    int32_t c[ROWS * ROW_BYTES / 4];
    double sum = 0;
    begin(0xF8u << 24 | 0x07u << 16 | 0xFAu << 8 | 0x05u, 0x04030201u);
    for (uint64_t r = 0; r < rounds; r++) {
        _tile_dpbsud(0, 4, 6);
        _tile_dpbsud(1, 4, 7);
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
    }
    for (int t = 0; t < WD_PEAK_ACC_AMX; t++) {
        switch (t) {
        case 0:
            STORE(0, c);
            break;
        case 1:
            STORE(1, c);
            break;
        case 2:
            STORE(2, c);
            break;
        default:
            STORE(3, c);
        }
        for (size_t i = 0; i < WD_COUNT(c); i++)
            sum += (double)c[i];
    }
    _tile_release();
    return sum;
}
