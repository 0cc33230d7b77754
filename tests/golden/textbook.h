/* The model of the specification once more, as plainly as it can be written: no operator table, no cache, no threads.
 *
 * It exists to build mistakes into it. Without a fault its stages equal the reference; with one, the golden data must
 * notice, and then they would notice it in the engine too.
 */
#ifndef WD_TESTS_GOLDEN_TEXTBOOK_H
#define WD_TESTS_GOLDEN_TEXTBOOK_H

#include "golden/run.h"

typedef enum tb_fault {
    TB_NONE,
    TB_MROPE_BLOCKED,           /* P1: sections one after another, as Qwen2-VL */
    TB_VIDEO_ONE_BLOCK,         /* P3: t counts the groups of a video */
    TB_DEEPSTACK_DROPPED,       /* P6 */
    TB_DEEPSTACK_BEFORE,        /* P6: added before the layer */
    TB_DEEPSTACK_LATE,          /* P6: one layer late */
    TB_DEEPSTACK_FROM_NEXT,     /* P6: taken after the next block */
    TB_FOURTH_AXIS,             /* P7: leftover frequencies get position 0 */
    TB_GELU_ERF_IN_BLOCKS,      /* P8 */
    TB_GELU_TANH_IN_MERGERS,    /* P8 */
    TB_MERGER_NORM_AFTER,       /* P9: main merger normalised after grouping */
    TB_DEEPSTACK_NORM_BEFORE,   /* P9: DeepStack normalised before grouping */
    TB_POS_HALF_PIXEL,          /* P10: centres instead of corners */
    TB_POS_RASTER,              /* P10: not put into block order */
    TB_ROWS_RASTER,             /* P11: patches in raster order */
    TB_ROW_HWC,                 /* P11: colour innermost in a row */
    TB_FIRST_SLICE_ONLY,        /* P12 */
    TB_NO_CONV_BIAS,            /* P12 */
    TB_SEE_OTHER_IMAGES,        /* P19: one attention segment */
    TB_SEE_OTHER_GROUPS,        /* P19: one segment per image or video */
    TB_ROPE_ADJACENT,           /* P21: pairs 2i, 2i + 1 */
    TB_QK_NORM_AFTER_ROPE,      /* P22 */
    TB_QK_NORM_WHOLE,           /* P22: over the whole projection */
    TB_QK_NORM_SKIPPED,         /* P22 */
    TB_EXPERTS_INTERLEAVED,     /* P23: gate and up in alternating columns */
    TB_EXPERTS_UP_FIRST,        /* P23: halves swapped */
    TB_ROUTER_NOT_RENORMALISED, /* P24 */
    TB_ROUTER_RAW_SCORES,       /* P24 */
    TB_N_FAULT
} tb_fault;

extern const char *const tb_fault_name[TB_N_FAULT];

/* Runs a prompt of an opened checkpoint (vl-dense, vl-moe or text-untied kind), giving its stages to `trace`. */
void tb_run(const golden_model *g, const golden_prompt *p, const float *pixel_rows, tb_fault fault,
            const wd_trace *trace);

#endif
