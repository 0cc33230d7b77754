/* Automata over code points: literals, lengths, products, and what all of them share. */
#include "text/schema/dfa.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/utf8.h"

#define CP_END 0x110000u
#define SURROGATE 0xD800u
#define SURROGATE_END 0xE000u

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory for an automaton");
}

static wd_status too_large(wd_err *err)
{
    return WD_FAIL(err, WD_E_LIMIT,
                   "constraint: a pattern or length needs an automaton of more than %u states",
                   WD_DFA_STATES_MAX);
}

/* --- lookup ------------------------------------------------------------------------------------------------------ */

uint32_t wd_dfa_range(const wd_dfa *d, uint32_t cp)
{
    uint32_t lo = 0, hi = d->n_range;
    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (d->lo[mid] <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

bool wd_dfa_any(const wd_dfa *d, uint32_t q, uint32_t lo, uint32_t hi)
{
    const uint32_t *next = d->next + (size_t)q * d->n_class;
    for (uint32_t r = wd_dfa_range(d, lo); r < d->n_range && d->lo[r] <= hi; r++)
        if (next[d->cls[r]] != WD_DFA_DEAD)
            return true;
    return false;
}

bool wd_dfa_accepts(const wd_dfa *d, wd_span text)
{
    uint32_t q = d->n_state ? 0 : WD_DFA_DEAD;
    for (size_t at = 0, n; at < text.n && q != WD_DFA_DEAD; at += n)
        q = wd_dfa_next(d, q, wd_utf8_next(text, at, &n));
    return q != WD_DFA_DEAD && d->accept[q];
}

/* --- building ---------------------------------------------------------------------------------------------------- */

wd_status wd_dfa__begin(wd_dfa_build *b, const uint32_t *cuts, size_t n, wd_err *err)
{
    static const uint32_t always[] = { 0, 1, SURROGATE, SURROGATE_END };
    *b = (wd_dfa_build){ 0 };
    if (n > 60000)
        return too_large(err);
    b->lo = WD_ALLOC_N(uint32_t, n + WD_COUNT(always));
    b->cls = WD_ALLOC_N(uint16_t, n + WD_COUNT(always));
    if (!b->lo || !b->cls)
        return no_memory(err);
    for (size_t i = 0, k = 0; i < n || k < WD_COUNT(always);) {
        const uint32_t cut = k >= WD_COUNT(always) || (i < n && cuts[i] < always[k]) ? cuts[i] : always[k];
        i += i < n && cuts[i] == cut;
        k += k < WD_COUNT(always) && always[k] == cut;
        if (cut >= CP_END)
            continue;
        b->cls[b->n_range] = (uint16_t)b->n_range;
        b->lo[b->n_range++] = cut;
    }
    b->n_class = b->n_range;
    return WD_OK;
}

wd_status wd_dfa__state(wd_dfa_build *b, bool accept, uint32_t *q, wd_err *err)
{
    if (b->n_state == b->cap) {
        const uint32_t cap = b->cap ? 2 * b->cap : 16;
        if (b->n_state >= WD_DFA_STATES_MAX || (size_t)b->n_state * b->n_class > WD_DFA_CELLS_MAX)
            return too_large(err);
        uint32_t *next = wd_realloc(b->next, cap, (size_t)b->n_class * sizeof *next);
        if (!next)
            return no_memory(err);
        b->next = next;
        uint8_t *acc = wd_realloc(b->accept, cap, 1);
        if (!acc)
            return no_memory(err);
        b->accept = acc;
        b->cap = cap;
    }
    memset(b->next + (size_t)b->n_state * b->n_class, 0xFF, b->n_class * sizeof *b->next);
    b->accept[b->n_state] = accept;
    *q = b->n_state++;
    return WD_OK;
}

void wd_dfa__free(wd_dfa_build *b)
{
    wd_free(b->lo);
    wd_free(b->cls);
    wd_free(b->next);
    wd_free(b->accept);
    *b = (wd_dfa_build){ 0 };
}

/* id[q]: the state's number among those from which an accepting one can be reached, or WD_DFA_DEAD. */
static bool number_live(const wd_dfa_build *b, uint32_t *id, uint32_t *n_live)
{
    const size_t n_edge_max = (size_t)b->n_state * b->n_class;
    uint32_t *first = WD_ALLOC_N(uint32_t, b->n_state + 1), *todo = WD_ALLOC_N(uint32_t, b->n_state + 1);
    uint32_t *from = WD_ALLOC_N(uint32_t, n_edge_max + 1);
    const bool good = first && todo && from;
    if (good) { /* edges by target */
        for (size_t i = 0; i < n_edge_max; i++)
            if (b->next[i] != WD_DFA_DEAD)
                first[b->next[i] + 1]++;
        for (uint32_t q = 0; q < b->n_state; q++)
            first[q + 1] += first[q];
        for (size_t i = n_edge_max; i-- > 0;)
            if (b->next[i] != WD_DFA_DEAD)
                from[--first[b->next[i] + 1]] = (uint32_t)(i / b->n_class);
        /* now first[q + 1] is where q's edges begin; those of the next state end them */
        size_t n_todo = 0;
        for (uint32_t q = 0; q < b->n_state; q++) {
            id[q] = b->accept[q] ? 0 : WD_DFA_DEAD;
            if (b->accept[q])
                todo[n_todo++] = q;
        }
        size_t n_edge = 0;
        for (size_t i = 0; i < n_edge_max; i++)
            n_edge += b->next[i] != WD_DFA_DEAD;
        while (n_todo) {
            const uint32_t q = todo[--n_todo];
            const size_t end = q + 1 < b->n_state ? first[q + 2] : n_edge;
            for (size_t e = first[q + 1]; e < end; e++)
                if (id[from[e]] == WD_DFA_DEAD) {
                    id[from[e]] = 0;
                    todo[n_todo++] = from[e];
                }
        }
        *n_live = 0;
        for (uint32_t q = 0; q < b->n_state; q++)
            if (id[q] != WD_DFA_DEAD)
                id[q] = (*n_live)++;
        if (b->n_state && id[0] == WD_DFA_DEAD) {
            memset(id, 0xFF, b->n_state * sizeof *id);
            *n_live = 0;
        }
    }
    wd_free(first);
    wd_free(todo);
    wd_free(from);
    return good;
}

/* Ranges with the same column get the same class. */
static wd_status merge_classes(wd_dfa_build *b, const uint32_t *id, uint32_t n_live, uint32_t *n_class,
                               wd_err *err)
{
    wd_map *m = wd_map_create(b->n_range);
    uint32_t *column = WD_ALLOC_N(uint32_t, (size_t)n_live + 1);
    wd_status st = m && column ? WD_OK : no_memory(err);
    *n_class = 0;
    for (uint32_t r = 0; !st && r < b->n_range; r++) {
        const bool never = b->lo[r] == 0 || b->lo[r] == SURROGATE;
        for (uint32_t q = 0; q < b->n_state; q++) {
            if (id[q] == WD_DFA_DEAD)
                continue;
            const uint32_t to = b->next[(size_t)q * b->n_class + r];
            column[id[q]] = never || to == WD_DFA_DEAD ? WD_DFA_DEAD : id[to];
        }
        const wd_span key = wd_span_of(column, n_live * sizeof *column);
        uint64_t at;
        if (!wd_map_get(m, key, &at)) {
            at = *n_class;
            if (wd_map_put(m, key, (*n_class)++, NULL))
                st = no_memory(err);
        }
        b->cls[r] = (uint16_t)at;
    }
    wd_free(column);
    wd_map_destroy(m);
    return st;
}

static wd_status into_arena(const wd_dfa_build *b, const uint32_t *id, uint32_t n_live, uint32_t n_class,
                            wd_arena *a, const wd_dfa **out, wd_err *err)
{
    wd_dfa *d = WD_NEW(a, wd_dfa);
    uint32_t *lo = WD_NEW_N(a, uint32_t, b->n_range);
    uint16_t *cls = WD_NEW_N(a, uint16_t, b->n_range);
    uint32_t *next = WD_NEW_N(a, uint32_t, (size_t)n_live * n_class + 1);
    uint8_t *accept = WD_NEW_N(a, uint8_t, (size_t)n_live + 1);
    if (!d || !lo || !cls || !next || !accept)
        return no_memory(err);
    *d = (wd_dfa){
        .n_state = n_live, .n_class = n_class, .lo = lo, .cls = cls, .next = next, .accept = accept
    };
    for (uint32_t r = 0; r < b->n_range; r++) {
        const bool never = b->lo[r] == 0 || b->lo[r] == SURROGATE;
        for (uint32_t q = 0; n_live && q < b->n_state; q++) {
            const uint32_t to = b->next[(size_t)q * b->n_class + r];
            if (id[q] != WD_DFA_DEAD)
                next[(size_t)id[q] * n_class + b->cls[r]] = never || to == WD_DFA_DEAD ? WD_DFA_DEAD : id[to];
        }
        if (d->n_range && cls[d->n_range - 1] == b->cls[r])
            continue; /* goes on */
        lo[d->n_range] = b->lo[r];
        cls[d->n_range++] = b->cls[r];
    }
    for (uint32_t q = 0; n_live && q < b->n_state; q++)
        if (id[q] != WD_DFA_DEAD)
            accept[id[q]] = b->accept[q];
    for (uint32_t c = 0; c < 128; c++)
        d->ascii[c] = cls[wd_dfa_range(d, c)];
    *out = d;
    return WD_OK;
}

wd_status wd_dfa__finish(wd_dfa_build *b, wd_arena *a, const wd_dfa **out, wd_err *err)
{
    uint32_t *id = WD_ALLOC_N(uint32_t, (size_t)b->n_state + 1), n_live = 0, n_class = 0;
    /* edges into what may not come do not keep anything alive */
    for (uint32_t r = 0; r < b->n_range; r++)
        for (uint32_t q = 0; (b->lo[r] == 0 || b->lo[r] == SURROGATE) && q < b->n_state; q++)
            b->next[(size_t)q * b->n_class + r] = WD_DFA_DEAD;
    wd_status st = id && number_live(b, id, &n_live) ? WD_OK : no_memory(err);
    if (!st)
        st = merge_classes(b, id, n_live, &n_class, err);
    if (!st)
        st = into_arena(b, id, n_live, n_class, a, out, err);
    wd_free(id);
    return st;
}

/* --- literals and lengths ---------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static wd_status put_literal(wd_dfa_build *b, const wd_dfa *ranges, wd_span text, wd_err *err)
{
    uint32_t q = 0;
    for (size_t at = 0, n; at < text.n; at += n) {
        const uint32_t r = wd_dfa_range(ranges, wd_utf8_next(text, at, &n));
        uint32_t to = b->next[(size_t)q * b->n_class + r];
        if (to == WD_DFA_DEAD) {
            WD_TRY(wd_dfa__state(b, false, &to, err));
            b->next[(size_t)q * b->n_class + r] = to;
        }
        q = to;
    }
    b->accept[q] = 1;
    return WD_OK;
}

wd_status wd_dfa_literals(wd_arena *a, const wd_span *text, size_t n, const wd_dfa **out, wd_err *err)
{
    size_t n_cut = 0, bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += text[i].n;
    uint32_t *cut = WD_ALLOC_N(uint32_t, 2 * bytes + 1), q;
    if (!cut)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0, len; at < text[i].n; at += len) {
            const uint32_t cp = wd_utf8_next(text[i], at, &len);
            cut[n_cut++] = cp;
            cut[n_cut++] = cp + 1;
        }
    qsort(cut, n_cut, sizeof *cut, by_value);
    size_t kept = 0;
    for (size_t i = 0; i < n_cut; i++)
        if (i == 0 || cut[i] != cut[i - 1])
            cut[kept++] = cut[i];
    wd_dfa_build b;
    wd_status st = wd_dfa__begin(&b, cut, kept, err);
    if (!st)
        st = wd_dfa__state(&b, false, &q, err);
    const wd_dfa ranges = { .lo = b.lo, .n_range = b.n_range };
    for (size_t i = 0; !st && i < n; i++)
        st = put_literal(&b, &ranges, text[i], err);
    if (!st)
        st = wd_dfa__finish(&b, a, out, err);
    wd_dfa__free(&b);
    wd_free(cut);
    return st;
}

wd_status wd_dfa_length(wd_arena *a, uint32_t min, uint32_t max, const wd_dfa **out, wd_err *err)
{
    const uint32_t last = max == UINT32_MAX ? min : max;
    wd_dfa_build b;
    wd_status st = wd_dfa__begin(&b, NULL, 0, err);
    for (uint32_t i = 0, q; !st && i <= last; i++) {
        st = wd_dfa__state(&b, i >= min, &q, err);
        for (uint32_t r = 0; !st && r < b.n_range; r++)
            b.next[(size_t)i * b.n_class + r] = i < last ? i + 1 : max == UINT32_MAX ? i : WD_DFA_DEAD;
    }
    if (!st)
        st = wd_dfa__finish(&b, a, out, err);
    wd_dfa__free(&b);
    return st;
}

/* --- products ---------------------------------------------------------------------------------------------------- */

/* The state for the pair; y may be dead where it only must not accept. */
static wd_status pair_state(wd_dfa_build *b, wd_map *m, const wd_dfa *x, const wd_dfa *y, bool without,
                            uint32_t qx, uint32_t qy, uint32_t *q, wd_err *err)
{
    const uint32_t pair[2] = { qx, qy };
    uint64_t at;
    if (wd_map_get(m, wd_span_of(pair, sizeof pair), &at)) {
        *q = (uint32_t)at;
        return WD_OK;
    }
    const bool in_y = qy != WD_DFA_DEAD && y->accept[qy];
    WD_TRY(wd_dfa__state(b, x->accept[qx] && in_y != without, q, err));
    return wd_map_put(m, wd_span_of(pair, sizeof pair), *q, NULL) ? no_memory(err) : WD_OK;
}

static wd_status fill_product(wd_dfa_build *b, wd_map *m, const wd_dfa *x, const wd_dfa *y, bool without,
                              wd_err *err)
{
    uint32_t q;
    WD_TRY(pair_state(b, m, x, y, without, 0, y->n_state ? 0 : WD_DFA_DEAD, &q, err));
    for (size_t i = 0; i < wd_map_count(m); i++) { /* states are numbered in the order they were met */
        uint32_t pair[2];
        memcpy(pair, wd_map_key(m, i).p, sizeof pair);
        for (uint32_t r = 0; r < b->n_range; r++) {
            const uint32_t to = wd_dfa_next(x, pair[0], b->lo[r]);
            const uint32_t to_y = pair[1] == WD_DFA_DEAD ? WD_DFA_DEAD : wd_dfa_next(y, pair[1], b->lo[r]);
            if (to == WD_DFA_DEAD || (to_y == WD_DFA_DEAD && !without))
                continue;
            WD_TRY(pair_state(b, m, x, y, without, to, to_y, &q, err));
            b->next[i * b->n_class + r] = q;
        }
    }
    return WD_OK;
}

wd_status wd_dfa_product(wd_arena *a, const wd_dfa *x, const wd_dfa *y, bool without, const wd_dfa **out,
                         wd_err *err)
{
    if (!x->n_state || (!y->n_state && without)) {
        *out = x;
        return WD_OK;
    }
    const size_t n = (size_t)x->n_range + y->n_range;
    uint32_t *cut = WD_ALLOC_N(uint32_t, n);
    wd_map *m = wd_map_create(64);
    wd_dfa_build b = { 0 };
    wd_status st = cut && m ? WD_OK : no_memory(err);
    if (!st) {
        size_t kept = 0;
        memcpy(cut, x->lo, x->n_range * sizeof *cut);
        memcpy(cut + x->n_range, y->lo, y->n_range * sizeof *cut);
        qsort(cut, n, sizeof *cut, by_value);
        for (size_t i = 0; i < n; i++)
            if (i == 0 || cut[i] != cut[i - 1])
                cut[kept++] = cut[i];
        st = wd_dfa__begin(&b, cut, kept, err);
    }
    if (!st)
        st = fill_product(&b, m, x, y, without, err);
    if (!st)
        st = wd_dfa__finish(&b, a, out, err);
    wd_dfa__free(&b);
    wd_map_destroy(m);
    wd_free(cut);
    return st;
}
