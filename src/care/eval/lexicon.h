/* Reads what a sentence of a chest CT report claims, in English or Chinese: what is seen or denied, where, how large.
 *
 * A table of words, not a model: the same sentence is always read the same way, and every word it knows stands in
 * lexicon.c. It knows more words than the synthetic cases use, because hospitals measure real models with it. What it
 * does not know it does not read; it never guesses a side or a lobe.
 */
#ifndef WD_CARE_EVAL_LEXICON_H
#define WD_CARE_EVAL_LEXICON_H

#include "base/buf.h"

typedef enum wd_lex_type {
    WD_LEX_NODULE, /* masses and ground-glass opacities too */
    WD_LEX_EFFUSION,
    WD_LEX_CONSOLIDATION,
    WD_LEX_EMPHYSEMA,
    WD_LEX_N_TYPE
} wd_lex_type;

enum { WD_LEX_LEFT = 1, WD_LEX_RIGHT = 2, WD_LEX_BOTH = 3 }; /* 0: not said */

typedef enum wd_lex_lobe {
    WD_LEX_NO_LOBE,
    WD_LEX_RUL,
    WD_LEX_RML,
    WD_LEX_RLL,
    WD_LEX_LUL, /* the lingula too */
    WD_LEX_LLL,
    WD_LEX_N_LOBE
} wd_lex_lobe;

typedef enum wd_lex_density {
    WD_LEX_NO_DENSITY,
    WD_LEX_SOLID,
    WD_LEX_PART_SOLID,
    WD_LEX_GROUND_GLASS,
    WD_LEX_CALCIFIED,
    WD_LEX_N_DENSITY
} wd_lex_density;

typedef enum wd_lex_margin {
    WD_LEX_NO_MARGIN,
    WD_LEX_SMOOTH,
    WD_LEX_LOBULATED,
    WD_LEX_SPICULATED,
    WD_LEX_N_MARGIN
} wd_lex_margin;

typedef enum wd_lex_grade {
    WD_LEX_NO_GRADE,
    WD_LEX_SMALL,
    WD_LEX_MODERATE,
    WD_LEX_LARGE,
    WD_LEX_N_GRADE
} wd_lex_grade;

typedef struct wd_mention {
    wd_lex_type type;
    bool negated; /* "no X" */
    bool rest;    /* "no other X": denied only beside those that were named */
    unsigned side;
    wd_lex_lobe lobe; /* set only with one side */
    double size_mm;   /* the longest of "12 x 9 mm"; 0: not said */
    wd_lex_density density;
    wd_lex_margin margin;
    wd_lex_grade grade; /* of an effusion */
} wd_mention;

/* The claims of a text in order, at most max; returns how many. Several words for one thing in one sentence are one
 * claim; one word with two lobes ("nodules in the right upper and left lower lobes") is two. Cannot fail. */
size_t wd_lexicon_read(wd_span text, wd_mention *out, size_t max);

/* Side and lobe of a place ("right upper lobe", "左肺下叶", "both lungs"). Several lobes: the sides alone. */
void wd_lexicon_place(wd_span text, unsigned *side, wd_lex_lobe *lobe);

/* "nodule", "right upper lobe", "part-solid", "spiculated", "moderate"; NULL for none. Sides: "left", "right", "both". */
const char *wd_lex_type_name(wd_lex_type t);
const char *wd_lex_side_name(unsigned side);
const char *wd_lex_lobe_name(wd_lex_lobe l);
const char *wd_lex_density_name(wd_lex_density d);
const char *wd_lex_margin_name(wd_lex_margin m);
const char *wd_lex_grade_name(wd_lex_grade g);
/* 1 left, 2 right, 3 both, 0 for WD_LEX_NO_LOBE. */
unsigned wd_lex_lobe_side(wd_lex_lobe l);

#endif
