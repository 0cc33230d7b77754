/* Regular expressions: text to tree, tree to a non-deterministic automaton (K. Thompson, CACM 11/6, 1968), sets of its
 * states to a deterministic one. "^" and "$" are edges that can be passed only at the beginning and the end. */
#include <stdlib.h>

#include "base/map.h"
#include "base/utf8.h"
#include "text/schema/dfa.h"

#define CP_LAST 0x10FFFFu
#define DEPTH_MAX 100
#define NFA_MAX 20000u
#define COUNT_MAX 5000u
#define INF UINT32_MAX

typedef enum kind { R_EMPTY, R_SET, R_CAT, R_ALT, R_REP, R_BOL, R_EOL } kind;

typedef struct tree {
    kind kind;
    struct tree *kid, *last, *sibling; /* of R_CAT and R_ALT a list, of R_REP one */
    uint32_t min, max;                 /* R_REP */
    uint32_t *lo, *hi, n;              /* R_SET: ranges, in any order */
} tree;

typedef struct reader {
    wd_arena *a; /* for the tree */
    wd_span s;
    size_t at;
    const char *what;
    int depth;
    wd_err *err;
    wd_status st; /* the first failure */
} reader;

/* --- reading ----------------------------------------------------------------------------------------------------- */

static void *fail(reader *r, wd_status st, const char *message)
{
    if (!r->st)
        r->st = WD_FAIL(r->err, st, "%s: byte %zu of the regular expression: %s", r->what, r->at, message);
    return NULL;
}

static tree *node(reader *r, kind k)
{
    tree *t = WD_NEW(r->a, tree);
    if (!t)
        return fail(r, WD_E_NOMEM, "no memory");
    t->kind = k;
    return t;
}

static void add(tree *list, tree *t)
{
    if (list->last)
        list->last->sibling = t;
    else
        list->kid = t;
    list->last = t;
}

static bool add_range(reader *r, tree *set, uint32_t lo, uint32_t hi)
{
    if ((set->n & (set->n - 1)) == 0 && (set->n == 0 || set->n >= 4)) { /* full: 4, 8, 16, ... */
        const uint32_t cap = set->n ? 2 * set->n : 4;
        uint32_t *l = WD_NEW_N(r->a, uint32_t, cap), *h = WD_NEW_N(r->a, uint32_t, cap);
        if (!l || !h)
            return fail(r, WD_E_NOMEM, "no memory") != NULL;
        if (set->n) {
            memcpy(l, set->lo, set->n * sizeof *l);
            memcpy(h, set->hi, set->n * sizeof *h);
        }
        set->lo = l;
        set->hi = h;
    }
    set->lo[set->n] = lo;
    set->hi[set->n++] = hi;
    return true;
}

static void sort_ranges(tree *set)
{
    for (uint32_t i = 1; i < set->n; i++) { /* few, and mostly in order */
        const uint32_t lo = set->lo[i], hi = set->hi[i];
        uint32_t k = i;
        for (; k > 0 && set->lo[k - 1] > lo; k--) {
            set->lo[k] = set->lo[k - 1];
            set->hi[k] = set->hi[k - 1];
        }
        set->lo[k] = lo;
        set->hi[k] = hi;
    }
}

/* Adds to `to` what is not in set. */
static bool add_complement(reader *r, tree *to, tree *set)
{
    uint32_t from = 0;
    sort_ranges(set);
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->lo[i] > from && !add_range(r, to, from, set->lo[i] - 1))
            return false;
        if (set->hi[i] >= from)
            from = set->hi[i] + 1;
    }
    return from > CP_LAST || add_range(r, to, from, CP_LAST);
}

/* \d \w \s and their opposites, and "." as 'n' for its opposite. */
static bool add_class(reader *r, tree *set, char c)
{
    static const uint32_t digit[] = { '0', '9' }, word[] = { '0', '9', 'A', 'Z', '_', '_', 'a', 'z' },
                          space[] = { 9,      13,     32,     32,     0xA0,   0xA0,   0x1680,
                                      0x1680, 0x2000, 0x200A, 0x2028, 0x2029, 0x202F, 0x202F,
                                      0x205F, 0x205F, 0x3000, 0x3000, 0xFEFF, 0xFEFF },
                          line[] = { '\n', '\n', '\r', '\r', 0x2028, 0x2029 };
    const char low = (char)(c | 0x20);
    const uint32_t *v = low == 'd' ? digit : low == 'w' ? word : low == 's' ? space : line;
    const size_t n = low == 'd'   ? WD_COUNT(digit)
                     : low == 'w' ? WD_COUNT(word)
                     : low == 's' ? WD_COUNT(space)
                                  : WD_COUNT(line);
    tree part = { .kind = R_SET };
    tree *to = low == c ? set : &part;
    for (size_t i = 0; i < n; i += 2)
        if (!add_range(r, to, v[i], v[i + 1]))
            return false;
    return to == set || add_complement(r, set, &part);
}

static int peek(const reader *r)
{
    return r->at < r->s.n ? r->s.p[r->at] : -1;
}

static bool take(reader *r, char c)
{
    if (peek(r) != c)
        return false;
    r->at++;
    return true;
}

static bool hex(reader *r, int min, int max, uint32_t *out)
{
    int n = 0;
    *out = 0;
    for (; n < max && r->at < r->s.n; n++, r->at++) {
        const char c = (char)r->s.p[r->at];
        const int v = c >= '0' && c <= '9'                 ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : -1;
        if (v < 0)
            break;
        *out = *out << 4 | (uint32_t)v;
    }
    if (n < min)
        fail(r, WD_E_INVALID, "expected hexadecimal digits");
    return n >= min;
}

/* \uXXXX (a pair of surrogates is one character), \u{X...} */
static bool unicode_escape(reader *r, uint32_t *cp)
{
    if (take(r, '{')) {
        if (!hex(r, 1, 6, cp))
            return false;
        if (!take(r, '}') || *cp > CP_LAST)
            return fail(r, WD_E_INVALID, "expected \\u{...} up to 10FFFF") != NULL;
        return true;
    }
    if (!hex(r, 4, 4, cp))
        return false;
    uint32_t low;
    if (*cp >= 0xD800 && *cp < 0xDC00 && take(r, '\\')) {
        if (!take(r, 'u') || !hex(r, 4, 4, &low) || low < 0xDC00 || low > 0xDFFF)
            return fail(r, WD_E_INVALID, "a surrogate without its other half") != NULL;
        *cp = 0x10000 + ((*cp - 0xD800) << 10) + (low - 0xDC00);
    }
    return true;
}

/* After the backslash. A class is added to set and *one is false; else *cp is one character. */
static bool escape(reader *r, tree *set, bool *one, uint32_t *cp)
{
    static const char from[] = "tnrvf0", to[] = "\t\n\r\v\f\0";
    size_t n = 1;
    *one = true;
    if (r->at >= r->s.n)
        return fail(r, WD_E_INVALID, "nothing after the backslash") != NULL;
    const uint32_t c = *cp = wd_utf8_next(r->s, r->at, &n);
    r->at += n;
    if (c < 128 && c && strchr("dDwWsS", (int)c)) {
        *one = false;
        return add_class(r, set, (char)c);
    }
    const char *simple = c && c < 128 ? strchr(from, (int)c) : NULL;
    if (c == '0' && peek(r) >= '0' && peek(r) <= '9')
        simple = NULL;
    if (simple) {
        *cp = (uint8_t)to[simple - from];
        return true;
    }
    if (c == 'x')
        return hex(r, 2, 2, cp);
    if (c == 'u')
        return unicode_escape(r, cp);
    if (c == 'c') {
        const int letter = peek(r) | 32;
        if (letter < 'a' || letter > 'z')
            return fail(r, WD_E_INVALID, "expected a letter after \\c") != NULL;
        *cp = (uint32_t)(r->s.p[r->at++] & 31);
        return true;
    }
    if (c == 'p' || c == 'P')
        return fail(r, WD_E_UNSUPPORTED, "Unicode properties (\\p) are not supported") != NULL;
    if (c == 'b' || c == 'B')
        return fail(r, WD_E_UNSUPPORTED, "word borders (\\b) are not supported") != NULL;
    if ((c >= '0' && c <= '9') || c == 'k')
        return fail(r, WD_E_UNSUPPORTED, "back-references are not supported") != NULL;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return fail(r, WD_E_INVALID, "an unknown escape") != NULL;
    return true;
}

/* One character of [...] or, with *one false, a class that has been added. */
static bool class_item(reader *r, tree *set, bool *one, uint32_t *cp)
{
    size_t n;
    *one = true;
    if (!take(r, '\\')) {
        *cp = wd_utf8_next(r->s, r->at, &n);
        r->at += n;
        return true;
    }
    if (take(r, 'b')) {
        *cp = '\b';
        return true;
    }
    return escape(r, set, one, cp);
}

/* After "[". */
static tree *class_tree(reader *r)
{
    tree *set = node(r, R_SET), *not = set;
    const bool negated = take(r, '^');
    if (!set || (negated && !(not = node(r, R_SET))))
        return NULL;
    while (!take(r, ']')) {
        bool one, other;
        uint32_t lo, hi;
        if (r->at >= r->s.n)
            return fail(r, WD_E_INVALID, "\"[\" without \"]\"");
        if (!class_item(r, set, &one, &lo))
            return NULL;
        if (one && peek(r) == '-' && r->at + 1 < r->s.n && r->s.p[r->at + 1] != ']') {
            r->at++;
            if (!class_item(r, set, &other, &hi))
                return NULL;
            if (!other || hi < lo)
                return fail(r, WD_E_INVALID, "a range in [...] that does not rise");
        } else {
            hi = lo;
        }
        if (one && !add_range(r, set, lo, hi))
            return NULL;
    }
    if (negated && !add_complement(r, not, set))
        return NULL;
    return not ;
}

static tree *alternatives(reader *r);

/* After "(". */
static tree *group(reader *r)
{
    if (take(r, '?')) {
        if (take(r, '<')) {
            if (peek(r) == '=' || peek(r) == '!')
                return fail(r, WD_E_UNSUPPORTED, "look-behind is not supported");
            while (r->at < r->s.n && peek(r) != '>')
                r->at++;
            if (!take(r, '>'))
                return fail(r, WD_E_INVALID, "a group's name without its end");
        } else if (peek(r) == '=' || peek(r) == '!') {
            return fail(r, WD_E_UNSUPPORTED, "look-ahead is not supported");
        } else if (!take(r, ':')) {
            return fail(r, WD_E_UNSUPPORTED, "this kind of group is not supported");
        }
    }
    tree *t = alternatives(r);
    if (t && !take(r, ')'))
        return fail(r, WD_E_INVALID, "\"(\" without \")\"");
    return t;
}

static bool number(reader *r, uint32_t *out)
{
    const size_t start = r->at;
    for (*out = 0; peek(r) >= '0' && peek(r) <= '9'; r->at++)
        *out = WD_MIN(*out * 10 + (uint32_t)(peek(r) - '0'), COUNT_MAX + 1);
    return r->at > start;
}

/* {m}, {m,} or {m,n}; nothing is read when it is not one of them: then "{" is an ordinary character. */
static bool braces(reader *r, uint32_t *min, uint32_t *max)
{
    const size_t start = r->at;
    bool good = take(r, '{') && number(r, min);
    *max = *min;
    if (good && take(r, ',') && !number(r, max))
        *max = INF;
    good = good && take(r, '}');
    if (!good)
        r->at = start;
    return good;
}

static tree *atom(reader *r)
{
    tree *t;
    uint32_t cp;
    size_t n;
    bool one = true;
    if (take(r, '('))
        return group(r);
    if (take(r, '['))
        return class_tree(r);
    if (take(r, '^'))
        return node(r, R_BOL);
    if (take(r, '$'))
        return node(r, R_EOL);
    uint32_t min, max;
    if (peek(r) == '*' || peek(r) == '+' || peek(r) == '?' || braces(r, &min, &max))
        return fail(r, WD_E_INVALID, "nothing to repeat");
    if (!(t = node(r, R_SET)))
        return NULL;
    if (take(r, '.'))
        return add_class(r, t, 'N') ? t : NULL;
    if (take(r, '\\')) {
        if (!escape(r, t, &one, &cp))
            return NULL;
    } else {
        cp = wd_utf8_next(r->s, r->at, &n);
        r->at += n;
    }
    return !one || add_range(r, t, cp, cp) ? t : NULL;
}

static tree *repeated(reader *r)
{
    tree *t = atom(r);
    uint32_t min = 0, max = INF;
    if (!t)
        return NULL;
    if (take(r, '+'))
        min = 1;
    else if (take(r, '?'))
        max = 1;
    else if (!take(r, '*') && !braces(r, &min, &max))
        return t;
    if (min > COUNT_MAX || (max != INF && max > COUNT_MAX))
        return fail(r, WD_E_LIMIT, "a count over 5000");
    if (max < min)
        return fail(r, WD_E_INVALID, "a count whose maximum is below its minimum");
    if (peek(r) == '+')
        return fail(r, WD_E_UNSUPPORTED, "possessive repetition is not supported");
    (void)take(r, '?'); /* lazy: which match is found does not matter here */
    tree *rep = node(r, R_REP);
    if (!rep)
        return NULL;
    rep->kid = t;
    rep->min = min;
    rep->max = max;
    return rep;
}

static tree *sequence(reader *r)
{
    tree *cat = node(r, R_CAT);
    while (cat && r->at < r->s.n && peek(r) != '|' && peek(r) != ')') {
        tree *t = repeated(r);
        if (!t)
            return NULL;
        add(cat, t);
    }
    return cat;
}

static tree *alternatives(reader *r)
{
    if (++r->depth > DEPTH_MAX)
        return fail(r, WD_E_LIMIT, "nested too deeply");
    tree *alt = node(r, R_ALT);
    do {
        tree *t = alt ? sequence(r) : NULL;
        if (!t)
            return NULL;
        add(alt, t);
    } while (take(r, '|'));
    r->depth--;
    return alt;
}

/* --- the non-deterministic automaton ------------------------------------------------------------------------------- */

typedef struct state {
    enum { N_SET, N_SPLIT, N_BOL, N_EOL, N_MATCH } kind;
    uint32_t a, b; /* where it leads; b of N_SPLIT */
    const tree *set;
} state;

typedef struct nfa {
    state *s;         /* [NFA_MAX] */
    uint32_t n, tail; /* tail: the loop over anything at the end of a search; INF: none */
} nfa;

static uint32_t put(nfa *f, state s)
{
    if (f->n >= NFA_MAX)
        return INF;
    f->s[f->n] = s;
    return f->n++;
}

/* The states that match t and go on at next; returns the entry, INF when there are too many. Depth is that of the tree,
 * at most three times DEPTH_MAX. */
static uint32_t emit(nfa *f, const tree *t, uint32_t next)
{
    if (next == INF)
        return INF;
    switch (t->kind) {
    case R_EMPTY:
        return next;
    case R_SET:
        return put(f, (state){ .kind = N_SET, .a = next, .set = t });
    case R_BOL:
        return put(f, (state){ .kind = N_BOL, .a = next });
    case R_EOL:
        return put(f, (state){ .kind = N_EOL, .a = next });
    case R_CAT: {
        /* Backwards: each part needs to know where it leads. A list of parts is short but for literals. */
        uint32_t n = 0;
        for (const tree *k = t->kid; k; k = k->sibling)
            n++;
        const tree **part = wd_calloc((size_t)n + 1, sizeof *part);
        if (!part)
            return INF;
        n = 0;
        for (const tree *k = t->kid; k; k = k->sibling)
            part[n++] = k;
        while (n > 0)
            next = emit(f, part[--n], next);
        wd_free(part);
        return next;
    }
    case R_ALT: {
        uint32_t at = emit(f, t->kid, next);
        for (const tree *k = t->kid->sibling; k && at != INF; k = k->sibling) {
            const uint32_t other = emit(f, k, next);
            at = other == INF ? INF : put(f, (state){ .kind = N_SPLIT, .a = at, .b = other });
        }
        return at;
    }
    case R_REP: {
        uint32_t at = next;
        if (t->max == INF) {
            const uint32_t loop = put(f, (state){ .kind = N_SPLIT, .b = next });
            const uint32_t body = loop == INF ? INF : emit(f, t->kid, loop);
            if (body == INF)
                return INF;
            f->s[loop].a = body;
            at = loop;
        }
        for (uint32_t i = t->min; t->max != INF && i < t->max && at != INF; i++) {
            const uint32_t body = emit(f, t->kid, at);
            at = body == INF ? INF : put(f, (state){ .kind = N_SPLIT, .a = body, .b = next });
        }
        for (uint32_t i = 0; i < t->min && at != INF; i++)
            at = emit(f, t->kid, at);
        return at;
    }
    }
    return INF;
}

/* --- sets of states --------------------------------------------------------------------------------------------------- */

typedef struct subset {
    const nfa *f;
    wd_dfa_build b;
    wd_map *m;       /* sorted N_SET states and N_MATCH and N_EOL -> state */
    uint32_t *v, n;  /* the set in the making */
    uint32_t *stack; /* [NFA_MAX] */
    uint32_t *mark;  /* [NFA_MAX] the round in which a state was met last */
    uint32_t round;
} subset;

/* Adds what is reached from q without reading. */
static void reach(subset *s, uint32_t q, bool at_begin, bool at_end)
{
    uint32_t n = 0;
    s->stack[n++] = q;
    while (n) {
        const uint32_t i = s->stack[--n];
        if (s->mark[i] == s->round)
            continue;
        s->mark[i] = s->round;
        const state *t = &s->f->s[i];
        if (t->kind == N_SET || t->kind == N_MATCH || t->kind == N_EOL)
            s->v[s->n++] = i;
        if (t->kind == N_SPLIT) {
            s->stack[n++] = t->b;
            if (s->mark[t->a] != s->round)
                s->stack[n++] = t->a;
        } else if ((t->kind == N_BOL && at_begin) || (t->kind == N_EOL && at_end)) {
            s->stack[n++] = t->a;
        }
    }
}

static int by_id(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Whether the end may be here: a match, or one behind a "$". at_begin: nothing has been read. */
static bool ends(subset *s, bool at_begin)
{
    const uint32_t n = s->n;
    for (uint32_t i = 0; i < n; i++)
        if (s->f->s[s->v[i]].kind == N_MATCH)
            return true;
    s->round++;
    for (uint32_t i = 0; i < n; i++)
        if (s->f->s[s->v[i]].kind == N_EOL)
            reach(s, s->v[i], at_begin, true);
    bool match = false;
    for (uint32_t i = n; i < s->n; i++)
        match |= s->f->s[s->v[i]].kind == N_MATCH;
    s->n = n;
    return match;
}

/* The number of the set in v. */
static wd_status set_state(subset *s, bool at_begin, uint32_t *q, wd_err *err)
{
    uint64_t at;
    for (uint32_t i = 0; s->f->tail != INF && i < s->n; i++)
        if (s->v[i] == s->f->tail) { /* whatever comes now matches */
            s->v[0] = s->f->tail;
            s->v[1] = 0; /* N_MATCH is state 0 */
            s->n = 2;
        }
    qsort(s->v, s->n, sizeof *s->v, by_id);
    const wd_span key = wd_span_of(s->v, s->n * sizeof *s->v);
    if (!at_begin && wd_map_get(s->m, key, &at)) {
        *q = (uint32_t)at;
        return WD_OK;
    }
    if ((wd_map_count(s->m) + 1) * sizeof *s->v * (s->n + 1) > (size_t)256 << 20)
        return WD_FAIL(err, WD_E_LIMIT, "constraint: a pattern needs too large an automaton");
    wd_buf first = { 0 }; /* the first state has seen nothing: it is never come back to */
    if (at_begin) {
        wd_buf_span(&first, key);
        wd_buf_char(&first, '^');
    }
    wd_status st = wd_dfa__state(&s->b, ends(s, at_begin), q, err);
    if (!st && (first.failed || wd_map_put(s->m, at_begin ? wd_buf_view(&first) : key, *q, NULL)))
        st = WD_FAIL(err, WD_E_NOMEM, "constraint: no memory for a pattern");
    wd_buf_free(&first);
    return st;
}

static bool holds(const tree *set, uint32_t cp)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (set->lo[i] <= cp && cp <= set->hi[i])
            return true;
    return false;
}

static wd_status determinise(subset *s, uint32_t entry, wd_err *err)
{
    uint32_t q;
    uint32_t *from = WD_ALLOC_N(uint32_t, NFA_MAX);
    wd_status st = from ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "constraint: no memory for a pattern");
    s->round++;
    s->n = 0;
    reach(s, entry, true, false);
    if (!st)
        st = set_state(s, true, &q, err);
    for (size_t i = 0; !st && i < wd_map_count(s->m); i++) {
        const wd_span key = wd_map_key(s->m, i);
        const uint32_t n = (uint32_t)(key.n / sizeof *from);
        memcpy(from, key.p, n * sizeof *from);
        for (uint32_t r = 0; !st && r < s->b.n_range; r++) {
            s->round++;
            s->n = 0;
            for (uint32_t k = 0; k < n; k++) {
                const state *t = &s->f->s[from[k]];
                if (t->kind == N_SET && holds(t->set, s->b.lo[r]))
                    reach(s, t->a, false, false);
            }
            if (!s->n)
                continue;
            st = set_state(s, false, &q, err);
            if (!st)
                s->b.next[i * s->b.n_class + r] = q;
        }
    }
    wd_free(from);
    return st;
}

/* Where the sets of the automaton begin and end, sorted and unique; the caller frees it. */
static uint32_t *cuts_of(const nfa *f, size_t *n)
{
    size_t most = 0;
    for (uint32_t i = 0; i < f->n; i++)
        most += f->s[i].kind == N_SET ? 2 * (size_t)f->s[i].set->n : 0;
    uint32_t *cut = WD_ALLOC_N(uint32_t, most + 1);
    *n = 0;
    if (!cut)
        return NULL;
    size_t k = 0;
    for (uint32_t i = 0; i < f->n; i++)
        for (uint32_t j = 0; f->s[i].kind == N_SET && j < f->s[i].set->n; j++) {
            cut[k++] = f->s[i].set->lo[j];
            cut[k++] = f->s[i].set->hi[j] + 1;
        }
    qsort(cut, k, sizeof *cut, by_id);
    for (size_t i = 0; i < k; i++)
        if (i == 0 || cut[i] != cut[i - 1])
            cut[(*n)++] = cut[i];
    return cut;
}

static wd_status compile(wd_arena *a, const nfa *f, uint32_t entry, const wd_dfa **out, wd_err *err)
{
    subset s = { .f = f,
                 .m = wd_map_create(64),
                 .v = WD_ALLOC_N(uint32_t, 2 * NFA_MAX),
                 .stack = WD_ALLOC_N(uint32_t, 2 * NFA_MAX),
                 .mark = WD_ALLOC_N(uint32_t, NFA_MAX) };
    size_t n_cut;
    uint32_t *cut = cuts_of(f, &n_cut);
    wd_status st = s.m && s.v && s.stack && s.mark && cut ? WD_OK
                                                          : WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
    if (!st)
        st = wd_dfa__begin(&s.b, cut, n_cut, err);
    if (!st)
        st = determinise(&s, entry, err);
    if (!st)
        st = wd_dfa__finish(&s.b, a, out, err);
    wd_dfa__free(&s.b);
    wd_map_destroy(s.m);
    wd_free(s.v);
    wd_free(s.stack);
    wd_free(s.mark);
    wd_free(cut);
    return st;
}

wd_status wd_dfa_regex(wd_arena *a, wd_span re, bool search, const char *what, const wd_dfa **out,
                       wd_err *err)
{
    reader r = { .s = re, .what = what, .err = err, .a = wd_arena_create((size_t)64 << 20, false) };
    nfa f = { .s = WD_ALLOC_N(state, NFA_MAX), .tail = INF };
    uint32_t lo = 0, hi = CP_LAST;
    const tree any = { .kind = R_SET, .lo = &lo, .hi = &hi, .n = 1 };
    tree *t = NULL;
    if (!r.a || !f.s)
        r.st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory", what);
    else if (!wd_utf8_valid(re))
        r.st = WD_FAIL(err, WD_E_INVALID, "%s: the regular expression is not UTF-8", what);
    else
        t = alternatives(&r);
    if (t && r.at < re.n)
        fail(&r, WD_E_INVALID, "\")\" without \"(\"");
    if (!r.st) {
        uint32_t end = put(&f, (state){ .kind = N_MATCH });
        if (search) {
            f.tail = put(&f, (state){ .kind = N_SET, .set = &any });
            end = f.s[f.tail].a = put(&f, (state){ .kind = N_SPLIT, .a = f.tail, .b = end });
        }
        uint32_t entry = emit(&f, t, end);
        if (search && entry != INF) { /* anything before it */
            const uint32_t loop = put(&f, (state){ .kind = N_SPLIT, .b = entry });
            const uint32_t skip = put(&f, (state){ .kind = N_SET, .a = loop, .set = &any });
            entry = skip == INF ? INF : loop;
            if (entry != INF)
                f.s[loop].a = skip;
        }
        if (entry == INF)
            r.st = WD_FAIL(err, WD_E_LIMIT, "%s: the regular expression is too large", what);
        else
            r.st = compile(a, &f, entry, out, err);
    }
    wd_free(f.s);
    wd_arena_destroy(r.a);
    return r.st;
}
