/* Numbers between bounds. A text is compared with each bound digit by digit while it is read: whether the digits so far
 * are below, equal to or above the bound's is all that must be remembered, and that only until they differ. */
#include "text/schema/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define DIGITS_INT 19   /* of a whole number */
#define DIGITS_ALL 15   /* of one with a fraction */
#define STATES_MAX 4000 /* far more than any bounds need */

/* --- decimals ------------------------------------------------------------------------------------------------------ */

/* Digits [n], the point before digit `point` (may be outside). */
static wd_dec make(bool neg, const char *digit, int n, int point)
{
    wd_dec d = { .neg = neg };
    int first = 0;
    while (first < n && digit[first] == '0')
        first++;
    while (n > first && digit[n - 1] == '0')
        n--;
    if (first == n) { /* zero */
        d.n_int = 1;
        d.neg = false;
        return d;
    }
    if (point - first > DIGITS_INT) {
        d.huge = true;
        return d;
    }
    for (int k = WD_MIN(first, point); k < point; k++)
        if (k >= first)
            d.i[d.n_int++] = (uint8_t)(k < n ? digit[k] - '0' : 0);
    if (!d.n_int)
        d.n_int = 1;
    for (int k = point; k < n; k++) {
        const uint8_t v = (uint8_t)(k >= first && k >= 0 ? digit[k] - '0' : 0);
        if (d.n_frac < WD_DEC_FRAC)
            d.f[d.n_frac++] = v;
        else
            d.cut |= v != 0;
    }
    while (d.n_frac && !d.f[d.n_frac - 1])
        d.n_frac--;
    return d;
}

wd_dec wd_dec_of(const json_t *number)
{
    char text[48], digit[40];
    if (json_is_integer(number)) {
        const int n = snprintf(text, sizeof text, "%lld", (long long)json_integer_value(number));
        const bool neg = text[0] == '-';
        return make(neg, text + neg, n - neg, n - neg);
    }
    const double v = json_real_value(number);
    for (int p = 0; p <= 17;
         p++) { /* the shortest that reads back: what the schema's author wrote, most likely */
        snprintf(text, sizeof text, "%.*e", p, fabs(v));
        if (strtod(text, NULL) == fabs(v))
            break;
    }
    int n = 0;
    const char *c = text;
    for (; *c && *c != 'e'; c++)
        if (*c >= '0' && *c <= '9')
            digit[n++] = *c;
    const long exponent = *c == 'e' ? strtol(c + 1, NULL, 10) : 0;
    return make(v < 0, digit, n, (int)exponent + 1);
}

static int compare_size(const wd_dec *a, const wd_dec *b)
{
    if (a->huge || b->huge)
        return a->huge - b->huge;
    if (a->n_int != b->n_int)
        return a->n_int - b->n_int;
    const int i = memcmp(a->i, b->i, a->n_int);
    if (i)
        return i;
    const int f = memcmp(a->f, b->f, WD_DEC_FRAC); /* zeros behind the last digit */
    return f ? f : a->cut - b->cut;
}

int wd_dec_compare(const wd_dec *a, const wd_dec *b)
{
    if (a->neg != b->neg)
        return a->neg ? -1 : 1;
    return a->neg ? compare_size(b, a) : compare_size(a, b);
}

/* --- ranges -------------------------------------------------------------------------------------------------------- */

static bool empty(const wd_num_range *r)
{
    if (!r->has_lo || !r->has_hi)
        return false;
    const int c = wd_dec_compare(&r->lo, &r->hi);
    return c > 0 || (c == 0 && (r->lo_open || r->hi_open));
}

static void raise_lo(wd_num_range *r, const wd_dec *lo, bool open)
{
    const int c = r->has_lo ? wd_dec_compare(lo, &r->lo) : 1;
    if (c > 0) {
        r->lo = *lo;
        r->lo_open = open;
        r->has_lo = true;
    } else if (c == 0) {
        r->lo_open |= open;
    }
}

static void lower_hi(wd_num_range *r, const wd_dec *hi, bool open)
{
    const int c = r->has_hi ? wd_dec_compare(hi, &r->hi) : -1;
    if (c < 0) {
        r->hi = *hi;
        r->hi_open = open;
        r->has_hi = true;
    } else if (c == 0) {
        r->hi_open |= open;
    }
}

bool wd_num_meet(wd_num_range *r, const wd_num_range *o)
{
    if (o->has_lo)
        raise_lo(r, &o->lo, o->lo_open);
    if (o->has_hi)
        lower_hi(r, &o->hi, o->hi_open);
    if (r->kind != WD_NUM_ANY && o->kind != WD_NUM_ANY && r->kind != o->kind)
        return false;
    r->kind = r->kind == WD_NUM_ANY ? o->kind : r->kind;
    return !empty(r);
}

size_t wd_num_without(const wd_num_range *r, const wd_num_range *o, wd_num_range out[3])
{
    size_t n = 0;
    if (o->has_lo) { /* below it */
        out[n] = *r;
        lower_hi(&out[n], &o->lo, !o->lo_open);
        n += !empty(&out[n]);
    }
    if (o->has_hi) { /* above it */
        out[n] = *r;
        raise_lo(&out[n], &o->hi, !o->hi_open);
        n += !empty(&out[n]);
    }
    if (o->kind != WD_NUM_ANY) { /* within it, of the other kind */
        wd_num_range in = *o;
        in.kind = o->kind == WD_NUM_INT ? WD_NUM_BROKEN : WD_NUM_INT;
        out[n] = *r;
        n += wd_num_meet(&out[n], &in);
    }
    return n;
}

/* --- the automaton --------------------------------------------------------------------------------------------------- */

enum { BEGIN, MINUS, INT, ZERO, POINT, FRAC, EXP, EXP_SIGN, EXP_1, EXP_2 };
enum { BELOW, SAME, ABOVE };

/* What is known of a text. Both bounds are sizes: those of the sign that was read. */
typedef struct known {
    uint8_t phase, neg;
    uint8_t n_int, n_frac; /* digits; n_frac stays 1 once lo and hi are decided, n_int counts them all then */
    uint8_t lo, hi;        /* the text so far beside the bound's digits */
    uint8_t broken;        /* a digit behind the point that is not 0 */
    uint8_t zero;          /* no digit but 0 */
} known;

/* The bound of sizes for one sign. */
typedef struct sizes {
    bool any; /* some number of this sign */
    bool has_hi, lo_open, hi_open;
    wd_dec lo, hi;
} sizes;

typedef struct builder {
    const wd_num_range *r;
    sizes of[2]; /* by sign */
    bool exponent;
    wd_map *m; /* known -> state */
    uint16_t (*next)[WD_NUM_CLASSES];
    uint8_t *accept;
    uint32_t n;
} builder;

static sizes sizes_of(const wd_num_range *r, bool neg)
{
    sizes s = { .any = true };
    s.lo.n_int = 1; /* 0 */
    /* the bound towards zero and the one away from it; cut ones lie a little farther out than their digits */
    const bool has_in = neg ? r->has_hi : r->has_lo, has_out = neg ? r->has_lo : r->has_hi;
    const wd_dec *in = neg ? &r->hi : &r->lo, *out = neg ? &r->lo : &r->hi;
    if (has_in && in->neg == neg) {
        s.lo = *in;
        s.lo_open = in->cut || (neg ? r->hi_open : r->lo_open);
    }
    const bool in_zero = has_in && in->n_int == 1 && !in->i[0] && !in->n_frac && !in->huge;
    if (neg && in_zero && r->hi_open) /* "-0.0" is not below 0 */
        s.lo_open = true;
    if (has_out) {
        s.has_hi = true;
        s.hi = *out;
        s.hi_open = !out->cut && (neg ? r->lo_open : r->hi_open);
        s.any = out->neg == neg;
    }
    if (has_in && in->neg == neg && in->huge)
        s.any = false;
    if (s.has_hi && s.hi.huge)
        s.has_hi = false;
    return s;
}

static uint8_t beside(uint8_t so_far, const uint8_t *digit, uint8_t n, uint8_t at, uint8_t v)
{
    if (so_far != SAME)
        return so_far;
    const uint8_t d = at < n ? digit[at] : 0;
    return v < d ? BELOW : v > d ? ABOVE : SAME;
}

/* One more digit before the point. */
static uint8_t beside_int(uint8_t so_far, const wd_dec *b, uint8_t at, uint8_t v)
{
    return at >= b->n_int ? ABOVE : beside(so_far, b->i, b->n_int, at, v);
}

/* All digits before the point have been read. */
static uint8_t after_int(uint8_t so_far, const wd_dec *b, uint8_t n)
{
    return n < b->n_int ? BELOW : so_far;
}

static bool within(const sizes *s, uint8_t lo, uint8_t hi, uint8_t n_frac)
{
    if (lo == SAME && n_frac < s->lo.n_frac)
        lo = BELOW;
    if (hi == SAME && n_frac < s->hi.n_frac)
        hi = BELOW;
    const bool low = lo == ABOVE || (lo == SAME && !s->lo_open);
    return low && (!s->has_hi || hi == BELOW || (hi == SAME && !s->hi_open));
}

static bool ends(const builder *b, const known *k)
{
    const sizes *s = &b->of[k->neg];
    if (k->phase == INT || k->phase == ZERO) {
        if (b->r->kind == WD_NUM_BROKEN || (k->neg && k->zero))
            return false;
        return within(s, after_int(k->lo, &s->lo, k->n_int), after_int(k->hi, &s->hi, k->n_int), 0);
    }
    if (k->phase == FRAC)
        return (b->r->kind != WD_NUM_BROKEN || k->broken) && within(s, k->lo, k->hi, k->n_frac);
    return k->phase == EXP_1 || k->phase == EXP_2;
}

static bool digit(const builder *b, const known *k, uint8_t v, known *to)
{
    const sizes *s = &b->of[k->neg];
    *to = *k;
    switch (k->phase) {
    case BEGIN:
    case MINUS:
    case INT:
        if (k->n_int == DIGITS_INT || !s->any)
            return false;
        to->phase = k->phase != INT && v == 0 ? ZERO : INT;
        to->zero = to->phase == ZERO;
        to->lo = beside_int(k->lo, &s->lo, k->n_int, v);
        to->hi = s->has_hi ? beside_int(k->hi, &s->hi, k->n_int, v) : (uint8_t)BELOW;
        to->n_int++;
        return true;
    case POINT:
    case FRAC:
        if (k->n_int + (k->lo == SAME || k->hi == SAME ? k->n_frac : 0) >= DIGITS_ALL)
            return false;
        to->phase = FRAC;
        to->broken |= v != 0;
        to->lo = beside(k->lo, s->lo.f, s->lo.n_frac, k->n_frac, v);
        to->hi = beside(k->hi, s->hi.f, s->hi.n_frac, k->n_frac, v);
        if (to->lo == SAME || to->hi == SAME) {
            to->n_frac++;
        } else {
            to->n_int = (uint8_t)(k->n_int + (k->lo == SAME || k->hi == SAME ? k->n_frac : 0) + 1);
            to->n_frac = 1;
        }
        return true;
    case EXP:
    case EXP_SIGN:
        to->phase = EXP_1;
        return true;
    case EXP_1:
        to->phase = EXP_2;
        return true;
    default:
        return false;
    }
}

/* Behind the mantissa of a number without bounds nothing of it matters any more. */
static bool other(const builder *b, const known *k, int cls, known *to)
{
    const sizes *s = &b->of[k->neg];
    const bool number = k->phase == INT || k->phase == ZERO;
    *to = *k;
    if (cls == 10 && k->phase == BEGIN) {
        *to = (known){ .phase = MINUS, .neg = 1, .lo = SAME, .hi = SAME };
        return b->of[1].any;
    }
    if (cls == 11 && number && b->r->kind != WD_NUM_INT) {
        to->phase = POINT;
        to->lo = after_int(k->lo, &s->lo, k->n_int);
        to->hi = s->has_hi ? after_int(k->hi, &s->hi, k->n_int) : (uint8_t)BELOW;
        return k->n_int < DIGITS_ALL;
    }
    if (cls == 12 && b->exponent && (number || k->phase == FRAC)) {
        *to = (known){ .phase = EXP };
        return true;
    }
    if ((cls == 10 || cls == 13) && k->phase == EXP) {
        *to = (known){ .phase = EXP_SIGN };
        return true;
    }
    return false;
}

static wd_status state_of(builder *b, const known *k, uint16_t *q, wd_err *err)
{
    uint64_t at;
    if (wd_map_get(b->m, wd_span_of(k, sizeof *k), &at)) {
        *q = (uint16_t)at;
        return WD_OK;
    }
    if (b->n == STATES_MAX)
        return WD_FAIL(err, WD_E_INTERNAL, "constraint: bounds of a number need more than %d states",
                       STATES_MAX);
    if (wd_map_put(b->m, wd_span_of(k, sizeof *k), b->n, NULL))
        return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory for the bounds of a number");
    memset(b->next[b->n], 0xFF, sizeof b->next[b->n]);
    b->accept[b->n] = ends(b, k);
    *q = (uint16_t)b->n++;
    return WD_OK;
}

static wd_status explore(builder *b, wd_err *err)
{
    const known start = { .phase = BEGIN, .lo = SAME, .hi = SAME };
    uint16_t q;
    WD_TRY(state_of(b, &start, &q, err));
    for (size_t i = 0; i < wd_map_count(b->m); i++) {
        known k, to;
        memcpy(&k, wd_map_key(b->m, i).p, sizeof k);
        for (int c = 0; c < WD_NUM_CLASSES; c++) {
            if (!(c < 10 ? digit(b, &k, (uint8_t)c, &to) : other(b, &k, c, &to)))
                continue;
            WD_TRY(state_of(b, &to, &q, err));
            b->next[i][c] = q;
        }
    }
    return WD_OK;
}

/* Leaves out what leads nowhere. */
static wd_status trim(builder *b, wd_arena *a, const wd_num **out, wd_err *err)
{
    uint16_t *id = WD_ALLOC_N(uint16_t, b->n);
    wd_num *d = WD_NEW(a, wd_num);
    if (!id || !d) {
        wd_free(id);
        return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory for the bounds of a number");
    }
    for (uint32_t q = 0; q < b->n; q++)
        id[q] = b->accept[q] ? 0 : WD_NUM_DEAD;
    for (bool more = true; more;) {
        more = false;
        for (uint32_t q = b->n; q-- > 0;)
            for (int c = 0; id[q] == WD_NUM_DEAD && c < WD_NUM_CLASSES; c++)
                if (b->next[q][c] != WD_NUM_DEAD && id[b->next[q][c]] != WD_NUM_DEAD) {
                    id[q] = 0;
                    more = true;
                }
    }
    const bool some = id[0] != WD_NUM_DEAD;
    for (uint32_t q = 0; some && q < b->n; q++)
        if (id[q] != WD_NUM_DEAD)
            id[q] = (uint16_t)d->n_state++;
    uint16_t(*next)[WD_NUM_CLASSES] = wd_arena_alloc(a, d->n_state + 1, sizeof *next);
    uint8_t *accept = WD_NEW_N(a, uint8_t, d->n_state + 1);
    for (uint32_t q = 0; some && next && accept && q < b->n; q++) {
        if (id[q] == WD_NUM_DEAD)
            continue;
        accept[id[q]] = b->accept[q];
        for (int c = 0; c < WD_NUM_CLASSES; c++)
            next[id[q]][c] = b->next[q][c] == WD_NUM_DEAD ? WD_NUM_DEAD : id[b->next[q][c]];
    }
    wd_free(id);
    if (!next || !accept)
        return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory for the bounds of a number");
    d->next = (const uint16_t(*)[WD_NUM_CLASSES])next;
    d->accept = accept;
    *out = d;
    return WD_OK;
}

wd_status wd_num_create(wd_arena *a, const wd_num_range *r, const wd_num **out, wd_err *err)
{
    static const uint8_t max[] = { 9, 2, 2, 3, 3, 7, 2, 0, 3, 6, 8, 5, 4, 7, 7, 5, 8, 0, 7 };
    wd_num_range all = { .kind = WD_NUM_ANY, .has_lo = true, .has_hi = true };
    all.hi.n_int = WD_COUNT(max);
    memcpy(all.hi.i, max, sizeof max);
    all.lo = all.hi;
    all.lo.neg = true;
    all.lo.i[WD_COUNT(max) - 1] = 8;
    wd_num_range within_64_bits = *r;
    builder b = { .r = &within_64_bits,
                  .exponent = !r->has_lo && !r->has_hi && r->kind == WD_NUM_ANY,
                  .m = wd_map_create(64),
                  .next = wd_calloc(STATES_MAX, sizeof *b.next),
                  .accept = wd_calloc(STATES_MAX, 1) };
    wd_status st = WD_OK;
    if (!b.m || !b.next || !b.accept)
        st = WD_FAIL(err, WD_E_NOMEM, "constraint: no memory for the bounds of a number");
    if (!st && wd_num_meet(&within_64_bits, &all)) {
        b.of[0] = sizes_of(&within_64_bits, false);
        b.of[1] = sizes_of(&within_64_bits, true);
        st = explore(&b, err);
        if (!st)
            st = trim(&b, a, out, err);
    } else if (!st) {
        const wd_num *none = WD_NEW(a, wd_num);
        st = none ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
        *out = none;
    }
    wd_map_destroy(b.m);
    wd_free(b.next);
    wd_free(b.accept);
    return st;
}
