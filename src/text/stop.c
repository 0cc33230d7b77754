/* Stop strings: one Knuth-Morris-Pratt matcher each.
 *
 * Invariant: `held` are the last bytes of the text that are not handed out; there are as many as the longest match in
 * progress, which is shorter than its string. So a string that becomes complete lies wholly in held and the new text. */
#include "text/stop.h"

typedef struct matcher {
    uint8_t *s;
    uint16_t *border; /* [n] length of the longest proper prefix of s[0 .. i] that ends there too */
    size_t n;
    size_t matched; /* bytes of s that the text ends with */
} matcher;

struct wd_stop {
    matcher m[WD_STOP_MAX];
    size_t n_m;
    bool done;
    size_t which;
    size_t n_held;
    uint8_t held[WD_STOP_BYTES_MAX];
};

static bool matcher_init(matcher *m, wd_span s)
{
    m->s = WD_ALLOC_N(uint8_t, s.n);
    m->border = WD_ALLOC_N(uint16_t, s.n);
    if (!m->s || !m->border)
        return false;
    memcpy(m->s, s.p, s.n);
    m->n = s.n;
    for (size_t i = 1, k = 0; i < s.n; i++) {
        while (k && s.p[i] != s.p[k])
            k = m->border[k - 1];
        k += s.p[i] == s.p[k];
        m->border[i] = (uint16_t)k;
    }
    return true;
}

/* True when c completes the string; not to be called again then. */
static bool matcher_step(matcher *m, uint8_t c)
{
    while (m->matched && m->s[m->matched] != c)
        m->matched = m->border[m->matched - 1];
    m->matched += m->s[m->matched] == c;
    return m->matched == m->n;
}

wd_status wd_stop_create(const wd_span *stop, size_t n_stop, wd_stop **out, wd_err *err)
{
    *out = NULL;
    if (n_stop > WD_STOP_MAX)
        return WD_FAIL(err, WD_E_INVALID, "%zu stop strings, expected at most %d", n_stop, WD_STOP_MAX);
    for (size_t i = 0; i < n_stop; i++)
        if (stop[i].n == 0 || stop[i].n > WD_STOP_BYTES_MAX)
            return WD_FAIL(err, WD_E_INVALID, "stop string %zu has %zu bytes, expected 1 to %d", i + 1,
                           stop[i].n, WD_STOP_BYTES_MAX);
    wd_stop *s = WD_ALLOC(wd_stop);
    bool good = s != NULL;
    for (size_t i = 0; i < n_stop && good; i++, s->n_m++)
        good = matcher_init(&s->m[i], stop[i]);
    if (!good) {
        wd_stop_destroy(s);
        return WD_FAIL(err, WD_E_NOMEM, "stop strings: no memory");
    }
    *out = s;
    return WD_OK;
}

void wd_stop_destroy(wd_stop *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < WD_STOP_MAX; i++) {
        wd_free(s->m[i].s);
        wd_free(s->m[i].border);
    }
    wd_wipe(s, sizeof *s);
    wd_free(s);
}

/* Hands out the first n bytes of what is held and then text; the last `keep` of all stay held. */
static void hand_out(wd_stop *s, wd_span text, size_t n, size_t keep, wd_buf *out)
{
    const size_t from_held = WD_MIN(n, s->n_held), from_text = n - from_held;
    wd_buf_put(out, s->held, from_held);
    wd_buf_span(out, wd_span_sub(text, 0, from_text));
    const size_t still = s->n_held - from_held, more = keep > still ? keep - still : 0;
    memmove(s->held, s->held + from_held, still);
    if (more)
        memcpy(s->held + still, text.p + from_text, more);
    s->n_held = keep;
}

bool wd_stop_feed(wd_stop *s, wd_span text, wd_buf *out, size_t *which)
{
    for (size_t t = 0; t < text.n && !s->done; t++) {
        size_t longest = 0;
        for (size_t i = 0; i < s->n_m; i++) {
            if (matcher_step(&s->m[i], text.p[t]) && s->m[i].n > longest) {
                longest = s->m[i].n;
                s->which = i;
            }
        }
        if (longest) {
            s->done = true;
            hand_out(s, text, s->n_held + t + 1 - longest, 0, out);
        }
    }
    if (s->done) {
        if (which)
            *which = s->which;
        return true;
    }
    size_t keep = 0;
    for (size_t i = 0; i < s->n_m; i++)
        keep = WD_MAX(keep, s->m[i].matched);
    hand_out(s, text, s->n_held + text.n - keep, keep, out);
    return false;
}

void wd_stop_end(wd_stop *s, wd_buf *out)
{
    if (!s->done)
        hand_out(s, (wd_span){ 0 }, s->n_held, 0, out);
    s->done = true;
}
