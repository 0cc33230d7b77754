/* Making and sharing constraints. */
#include "text/schema/inner.h"

#include "base/utf8.h"

#define ARENA_MAX ((size_t)256 << 20)

static atomic_ullong next_serial = 1;

static wd_status begin(wd_space space, bool raw, wd_constraint **out, wd_err *err)
{
    wd_constraint *c = WD_ALLOC(wd_constraint);
    if (c)
        c->arena = wd_arena_create(ARENA_MAX, false);
    if (!c || !c->arena) {
        wd_free(c);
        return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
    }
    atomic_init(&c->refs, 1);
    c->serial = atomic_fetch_add(&next_serial, 1);
    c->space = space;
    c->raw = raw;
    *out = c;
    return WD_OK;
}

/* A copy that lives in the constraint; NULL in it when there is no memory. */
static wd_span kept(wd_constraint *c, wd_span s)
{
    return wd_span_of(wd_arena_strndup(c->arena, (const char *)s.p, s.n), s.n);
}

static wd_status keep(wd_constraint *c, wd_constraint_kind kind, wd_span text, wd_err *err)
{
    c->source = (wd_constraint_source){ .kind = kind, .text = kept(c, text) };
    return c->source.text.p ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
}

static wd_status keep_choice(wd_constraint *c, const wd_span *text, size_t n, wd_err *err)
{
    wd_span *choice = WD_NEW_N(c->arena, wd_span, n);
    bool good = choice != NULL;
    for (size_t i = 0; good && i < n; i++) {
        choice[i] = kept(c, text[i]);
        good = choice[i].p != NULL;
    }
    c->source = (wd_constraint_source){ .kind = WD_CONSTRAINT_CHOICE, .choice = choice, .n_choice = n };
    return good ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
}

static wd_status finish(wd_constraint *c, wd_status st, wd_constraint **out)
{
    if (st)
        wd_constraint_unref(&c);
    *out = c;
    return st;
}

wd_status wd_constraint_schema(wd_span json, wd_space space, wd_constraint **out, wd_err *err)
{
    wd_constraint *c;
    *out = NULL;
    if (json.n > WD_SCHEMA_BYTES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "schema: %zu bytes, expected at most %zu", json.n,
                       WD_SCHEMA_BYTES_MAX);
    WD_TRY(begin(space, false, &c, err));
    wd_status st = wd_schema__compile(c, json, err);
    if (!st)
        st = keep(c, WD_CONSTRAINT_SCHEMA, json, err);
    return finish(c, st, out);
}

wd_status wd_constraint_object(wd_space space, wd_constraint **out, wd_err *err)
{
    WD_TRY(wd_constraint_schema(WD_SPAN_LIT("{\"type\":\"object\"}"), space, out, err));
    (*out)->source.kind = WD_CONSTRAINT_OBJECT;
    return WD_OK;
}

/* The document is a text without quotes. */
static wd_status text_of(wd_constraint *c, const wd_dfa *d, wd_err *err)
{
    wd_node *n = WD_NEW(c->arena, wd_node);
    wd_str_shape *s = WD_NEW(c->arena, wd_str_shape);
    if (!n || !s)
        return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
    if (!d->n_state)
        return WD_FAIL(err, WD_E_INVALID, "constraint: no text satisfies the regular expression");
    *s = (wd_str_shape){ .dfa = d, .max = UINT32_MAX, .raw = true, .id = 1 };
    n->n_str = 1;
    n->str = s;
    c->node = n;
    c->n_node = 1;
    return WD_OK;
}

wd_status wd_constraint_regex(wd_span re, wd_constraint **out, wd_err *err)
{
    wd_constraint *c;
    const wd_dfa *d;
    *out = NULL;
    if (re.n > WD_SCHEMA_BYTES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "regular expression: %zu bytes, expected at most %zu", re.n,
                       WD_SCHEMA_BYTES_MAX);
    WD_TRY(begin(WD_SPACE_NONE, true, &c, err));
    wd_status st = wd_dfa_regex(c->arena, re, false, "constraint", &d, err);
    if (!st)
        st = text_of(c, d, err);
    if (!st)
        st = keep(c, WD_CONSTRAINT_REGEX, re, err);
    return finish(c, st, out);
}

wd_status wd_constraint_choice(const wd_span *text, size_t n, wd_constraint **out, wd_err *err)
{
    wd_constraint *c;
    const wd_dfa *d;
    size_t bytes = 0;
    *out = NULL;
    for (size_t i = 0; i < n; i++) {
        bytes += text[i].n;
        if (!text[i].n || !wd_utf8_valid(text[i]) || memchr(text[i].p, 0, text[i].n))
            return WD_FAIL(err, WD_E_INVALID,
                           "choice %zu: expected text that is not empty, UTF-8 without U+0000", i);
    }
    if (!n || bytes > WD_SCHEMA_BYTES_MAX)
        return WD_FAIL(err, WD_E_INVALID,
                       "choice: %zu texts of %zu bytes, expected one or more of at most %zu", n, bytes,
                       WD_SCHEMA_BYTES_MAX);
    WD_TRY(begin(WD_SPACE_NONE, true, &c, err));
    wd_status st = wd_dfa_literals(c->arena, text, n, &d, err);
    if (!st)
        st = text_of(c, d, err);
    if (!st)
        st = keep_choice(c, text, n, err);
    return finish(c, st, out);
}

wd_constraint *wd_constraint_ref(const wd_constraint *c)
{
    wd_constraint *shared = (wd_constraint *)c; /* only the count changes */
    atomic_fetch_add(&shared->refs, 1);
    return shared;
}

void wd_constraint_unref(wd_constraint **c)
{
    wd_constraint *x = *c;
    *c = NULL;
    if (!x || atomic_fetch_sub(&x->refs, 1) != 1)
        return;
    wd_arena_destroy(x->arena);
    wd_free(x);
}

const wd_constraint_source *wd_constraint_source_of(const wd_constraint *c)
{
    return &c->source;
}

bool wd_constraint_accepts(const wd_constraint *c, wd_span text)
{
    wd_machine m;
    wd_threads *now = WD_ALLOC_N(wd_threads, 2), *next = now ? now + 1 : NULL;
    wd_machine_init(&m, c);
    m.lines_before = true;
    bool good = now != NULL;
    if (good)
        wd_machine_start(&m, now);
    for (size_t i = 0; good && i < text.n; i++) {
        next->n = 0;
        for (uint32_t k = 0; k < now->n; k++)
            wd_machine_step(&m, &now->t[k], text.p[i], next);
        wd_buf_put(&m.text, text.p + i, 1);
        wd_threads *const swap = now;
        now = next;
        next = swap;
        good = now->n > 0 && !m.failed && !m.text.failed;
    }
    good = good && wd_machine_ends(&m, now);
    wd_free(WD_MIN(now, next));
    wd_machine_free(&m);
    return good;
}
