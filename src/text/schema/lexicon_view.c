/* The vocabulary as an automaton sees it.
 *
 * A string's automaton tells few classes of characters apart: to [^e]* all characters but one are the same, to an address
 * there are seven kinds. To it, tokens are the same when their characters are of the same classes one after another: they
 * are one path of its view. A view is a trie of such paths, mostly much smaller than that of the tokens' bytes, and
 * holds for every state: so that the mask of a state that was never met is a short walk, too, however many states
 * counting makes.
 *
 * What is not a further character of a class is a path's tail: the beginning of a character at a token's end, a quote (which
 * closes the string), a backslash (behind which every byte counts).
 *
 * Making a view takes some milliseconds, which is why a matcher has it made before the first token. Automata with the same
 * classes share one, whatever constraint they are of. Where few tokens begin with a character that may come, in every
 * state, there is none: the trie of bytes is walked as quickly. */
#include <stdlib.h>

#include "text/schema/lexicon_inner.h"

#define VIEW_BYTES_MAX ((size_t)64 << 20) /* kept at most beside those in use */
#define VIEWS_MAX 512                     /* constraints, likewise */
#define FEW 16                            /* of all tokens: what a walk is quicker for */
#define LEFT_OUT UINT16_MAX               /* a code point that is no character of a class */

/* --- characters ---------------------------------------------------------------------------------------------------------- */

static bool mark_points(wd_lexicon *l, uint32_t *number)
{
    for (uint32_t i = 1; i < l->n_node; i++)
        if (!(l->node[i].cp & WD_LEX_PART)) /* nor is it WD_LEX_BAD, which has that bit */
            number[l->node[i].cp] = 1;
    for (uint32_t cp = 0; cp < 0x110000; cp++)
        l->n_point += number[cp];
    l->point = WD_ALLOC_N(uint32_t, (size_t)l->n_point + 1);
    l->begin = WD_ALLOC_N(uint32_t, (size_t)l->n_point + 1);
    if (!l->point || !l->begin)
        return false;
    for (uint32_t cp = 0, n = 0; cp < 0x110000; cp++)
        if (number[cp]) {
            l->point[n] = cp;
            number[cp] = n++;
        }
    return true;
}

/* False without memory. */
static bool put_tail(wd_lexicon *l, wd_lex_tail tail)
{
    if (l->n_tail % 1024 == 0) {
        wd_lex_tail *more = wd_realloc(l->tail, l->n_tail + 1024, sizeof *more);
        if (!more)
            return false;
        l->tail = more;
    }
    l->tail[l->n_tail++] = tail;
    return true;
}

static bool put_special(wd_lexicon *l, uint32_t at, uint32_t node, uint32_t depth)
{
    const wd_lex_node *v = &l->node[node];
    const uint32_t end = l->end[node];
    if (v->cp == '\\')
        return put_tail(
            l, (wd_lex_tail){ .kind = WD_TAIL_ESCAPE, .at = at, .of = node, .x = depth, .end = end });
    for (uint32_t i = v->rank; v->cp == '"' && i < end; i++)
        if (!put_tail(l, (wd_lex_tail){ .kind = WD_TAIL_QUOTE,
                                        .at = at,
                                        .of = wd_lexicon__quote(l, l->order[i], depth) }))
            return false;
    return true;
}

/* The characters that follow the one `at`, by way of the node, which is in the middle of them at most three levels deep. */
static bool put_chars(wd_lexicon *l, const uint32_t *number, uint32_t at, uint32_t node, uint32_t depth)
{
    const wd_lex_node *from = &l->node[node];
    bool good = true;
    for (uint32_t i = from->kid; good && i < from->kid + from->n_kid; i++) {
        const wd_lex_node *v = &l->node[i];
        if (v->cp == WD_LEX_BAD)
            continue;
        if (v->cp & WD_LEX_PART) {
            if (v->ends)
                good = put_tail(
                    l, (wd_lex_tail){ .kind = WD_TAIL_PART, .at = at, .of = l->order[v->rank], .x = v->cp });
            good = good && put_chars(l, number, at, i, depth + 1);
            continue;
        }
        l->chr[l->n_char++] = (wd_lex_char){ .node = i,
                                             .point = number[v->cp] & 0xFFFFFF,
                                             .depth = (uint8_t)(depth + 1) };
        if (!at)
            l->begin[number[v->cp]] = l->end[i] - v->rank;
        good = put_special(l, at, i, depth + 1);
    }
    return good;
}

bool wd_lexicon__make_chars(wd_lexicon *l)
{
    uint32_t *number = WD_ALLOC_N(uint32_t, 0x110000);
    l->chr = WD_ALLOC_N(wd_lex_char, (size_t)l->n_node + 1);
    bool good = number && l->chr && mark_points(l, number);
    if (good)
        l->n_char = 1;
    for (uint32_t i = 0; good && i < l->n_char; i++) {
        wd_lex_char *c = &l->chr[i];
        c->kid = l->n_char;
        c->tail = l->n_tail;
        good = put_chars(l, number, i, c->node, c->depth);
        c->n_kid = l->n_char - c->kid;
    }
    if (good)
        l->chr[l->n_char].tail = l->n_tail;
    wd_free(number);
    return good;
}

/* --- one view ------------------------------------------------------------------------------------------------------------ */

static void free_view(wd_lex_view *v)
{
    if (!v)
        return;
    wd_free(v->lo);
    wd_free(v->cls);
    wd_free(v->path);
    wd_free(v->token);
    wd_free(v->tail);
    wd_free(v);
}

/* cls [n_point]: of each code point. */
static void find_classes(const wd_lexicon *l, const wd_dfa *d, bool raw, uint16_t *cls)
{
    uint32_t r = 0;
    for (uint32_t i = 0; i < l->n_point; i++) {
        const uint32_t cp = l->point[i];
        while (r + 1 < d->n_range && d->lo[r + 1] <= cp)
            r++;
        cls[i] = !raw && (cp < 0x20 || cp == '"' || cp == '\\') ? LEFT_OUT : d->cls[r];
    }
}

/* Whether few tokens begin with a character that leads on, from any state. weight [n_class]: room. */
static bool is_narrow(const wd_lexicon *l, const wd_dfa *d, const uint16_t *cls, uint32_t *weight)
{
    for (uint32_t i = 0; i < l->n_point; i++)
        if (cls[i] != LEFT_OUT)
            weight[cls[i]] += l->begin[i];
    for (uint32_t q = 0; q < d->n_state; q++) {
        const uint32_t *next = d->next + (size_t)q * d->n_class;
        uint32_t sum = 0;
        for (uint32_t c = 0; c < d->n_class; c++)
            sum += next[c] == WD_DFA_DEAD ? 0 : weight[c];
        if (sum > l->n_order / FEW)
            return false;
    }
    return true;
}

/* Characters that become one path: member[from..to). */
typedef struct group {
    uint32_t from, to;
    uint16_t cls, depth;
} group;

/* A view in the making. Groups wait on a stack, and so do their members: those of the topmost group are on top. */
typedef struct maker {
    const wd_lexicon *l;
    wd_lex_view *v;
    const uint16_t *cls; /* [n_point] */
    uint32_t cap_path;
    group *group; /* [n_char] */
    uint32_t n_group;
    uint32_t *member, n_member;          /* [n_char] */
    uint32_t *count;                     /* [n_class] of the next characters; then where those go */
    uint16_t *met;                       /* [n_class] classes that they are of */
    uint32_t open[WD_LEX_TOKEN_MAX + 2]; /* by depth: paths whose `next` is not known */
    uint32_t n_open;
} maker;

/* Paths from this depth on end before the one that comes. */
static void end_paths(maker *k, uint32_t depth)
{
    while (k->n_open > depth)
        k->v->path[k->open[--k->n_open]].next = k->v->n_path;
}

static bool new_path(maker *k, const group *g)
{
    wd_lex_view *v = k->v;
    if (v->n_path + 1 >= k->cap_path) {
        const uint32_t cap = 2 * k->cap_path + 1024;
        wd_lex_path *more = wd_realloc(v->path, cap, sizeof *more);
        if (!more)
            return false;
        v->path = more;
        k->cap_path = cap;
    }
    end_paths(k, g->depth);
    k->open[k->n_open++] = v->n_path;
    v->path[v->n_path++] = (wd_lex_path){
        .token = v->n_token, .tail = v->n_tail, .cls = g->cls, .depth = g->depth
    };
    return true;
}

static void put_ends(maker *k, const group *g)
{
    const wd_lexicon *l = k->l;
    wd_lex_view *v = k->v;
    for (uint32_t i = g->from; i < g->to; i++) {
        const wd_lex_char *c = &l->chr[k->member[i]];
        const wd_lex_node *node = &l->node[c->node];
        if (node->ends)
            v->token[v->n_token++] = l->order[node->rank];
        for (uint32_t t = c->tail; t < c[1].tail; t++)
            if (!v->raw || l->tail[t].kind == WD_TAIL_PART)
                v->tail[v->n_tail++] = t;
    }
}

/* Groups of what follows the members of g, which are on top. */
static void put_groups(maker *k, const group *g)
{
    const wd_lexicon *l = k->l;
    uint32_t n_met = 0;
    for (uint32_t i = g->from; i < g->to; i++) {
        const wd_lex_char *c = &l->chr[k->member[i]];
        for (uint32_t j = c->kid; j < c->kid + c->n_kid; j++) {
            const uint16_t cls = k->cls[l->chr[j].point];
            if (cls != LEFT_OUT && k->count[cls]++ == 0)
                k->met[n_met++] = cls;
        }
    }
    k->n_member = g->to;
    for (uint32_t i = 0; i < n_met; i++) {
        const uint16_t cls = k->met[i];
        const uint32_t n = k->count[cls];
        k->group[k->n_group++] = (group){
            .from = k->n_member, .to = k->n_member + n, .cls = cls, .depth = (uint16_t)(g->depth + 1)
        };
        k->count[cls] = k->n_member;
        k->n_member += n;
    }
    for (uint32_t i = g->from; i < g->to; i++) {
        const wd_lex_char *c = &l->chr[k->member[i]];
        for (uint32_t j = c->kid; j < c->kid + c->n_kid; j++) {
            const uint16_t cls = k->cls[l->chr[j].point];
            if (cls != LEFT_OUT)
                k->member[k->count[cls]++] = j;
        }
    }
    for (uint32_t i = 0; i < n_met; i++)
        k->count[k->met[i]] = 0;
}

static bool fill_view(const wd_lexicon *l, wd_lex_view *v, const wd_dfa *d, const uint16_t *cls)
{
    maker *k = WD_ALLOC(maker);
    bool good = k != NULL;
    if (good) {
        k->l = l;
        k->v = v;
        k->cls = cls;
        k->group = WD_ALLOC_N(group, (size_t)l->n_char + 1);
        k->member = WD_ALLOC_N(uint32_t, (size_t)l->n_char + 1);
        k->count = WD_ALLOC_N(uint32_t, (size_t)d->n_class + 1);
        k->met = WD_ALLOC_N(uint16_t, (size_t)d->n_class + 1);
        v->token = WD_ALLOC_N(uint32_t, (size_t)l->n_order + 1);
        v->tail = WD_ALLOC_N(uint32_t, (size_t)l->n_tail + 1);
        good = k->group && k->member && k->count && k->met && v->token && v->tail;
    }
    if (good)
        k->group[k->n_group++] = (group){ .to = 1 }; /* the root is its own */
    while (good && k->n_group) {
        const group g = k->group[--k->n_group];
        good = new_path(k, &g);
        put_ends(k, &g);
        put_groups(k, &g);
    }
    if (good) { /* new_path() left room for it */
        end_paths(k, 0);
        v->path[v->n_path] = (wd_lex_path){ .token = v->n_token, .tail = v->n_tail };
        v->bytes = sizeof *v + (size_t)k->cap_path * sizeof *v->path + (size_t)v->n_range * 6 +
                   ((size_t)l->n_order + l->n_tail) * sizeof *v->token;
    }
    if (k) {
        wd_free(k->group);
        wd_free(k->member);
        wd_free(k->count);
        wd_free(k->met);
    }
    wd_free(k);
    return good;
}

static wd_lex_view *make_view(const wd_lexicon *l, const wd_dfa *d, bool raw, const uint16_t *cls)
{
    wd_lex_view *v = WD_ALLOC(wd_lex_view);
    if (!v)
        return NULL;
    v->raw = raw;
    v->n_range = d->n_range;
    v->lo = WD_ALLOC_N(uint32_t, d->n_range);
    v->cls = WD_ALLOC_N(uint16_t, d->n_range);
    if (v->lo && v->cls) {
        memcpy(v->lo, d->lo, d->n_range * sizeof *v->lo);
        memcpy(v->cls, d->cls, d->n_range * sizeof *v->cls);
        if (fill_view(l, v, d, cls))
            return v;
    }
    free_view(v);
    return NULL;
}

/* --- those of a constraint ----------------------------------------------------------------------------------------------- */

/* One of these classes that is there already; used once more. Under mu. */
static wd_lex_view *look_up(wd_lexicon *l, const wd_dfa *d, bool raw)
{
    for (wd_lex_view *v = l->view; v; v = v->next)
        if (v->raw == raw && v->n_range == d->n_range &&
            memcmp(v->lo, d->lo, d->n_range * sizeof *v->lo) == 0 &&
            memcmp(v->cls, d->cls, d->n_range * sizeof *v->cls) == 0) {
            v->uses++;
            return v;
        }
    return NULL;
}

/* *out NULL: the automaton is better walked without. False without memory. */
static bool view_of(wd_lexicon *l, const wd_str_shape *s, wd_lex_view **out)
{
    const wd_dfa *d = s->dfa;
    *out = NULL;
    pthread_mutex_lock(&l->mu);
    wd_lex_view *v = look_up(l, d, s->raw), *made = NULL;
    pthread_mutex_unlock(&l->mu);
    uint16_t *cls = v ? NULL : WD_ALLOC_N(uint16_t, (size_t)l->n_point + 1);
    uint32_t *weight = v ? NULL : WD_ALLOC_N(uint32_t, (size_t)d->n_class + 1);
    bool good = v || (cls && weight), narrow = false;
    if (!v && good) {
        find_classes(l, d, s->raw, cls);
        narrow = is_narrow(l, d, cls, weight);
        made = narrow ? NULL : make_view(l, d, s->raw, cls);
        good = narrow || made;
    }
    if (made) {
        pthread_mutex_lock(&l->mu);
        v = look_up(l, d, s->raw); /* another thread may have been quicker */
        if (!v) {
            made->uses = 1;
            made->next = l->view;
            l->view = made;
            l->view_bytes += made->bytes;
            v = made;
            made = NULL;
        }
        pthread_mutex_unlock(&l->mu);
        free_view(made);
    }
    wd_free(cls);
    wd_free(weight);
    *out = v;
    return good;
}

/* Under mu. */
static void drop(wd_lexicon *l, wd_lex_views *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        if (!v->of[i] || --v->of[i]->uses)
            continue;
        wd_lex_view **at = &l->view;
        while (*at != v->of[i])
            at = &(*at)->next;
        *at = v->of[i]->next;
        l->view_bytes -= v->of[i]->bytes;
        free_view(v->of[i]);
    }
    l->n_views--;
    wd_free(v);
}

/* Those not in use, the one used longest ago first. Under mu. */
static void evict(wd_lexicon *l)
{
    while (l->view_bytes > VIEW_BYTES_MAX || l->n_views > VIEWS_MAX) {
        wd_lex_views **last = NULL;
        for (wd_lex_views **at = &l->views; *at; at = &(*at)->next)
            if (!(*at)->refs)
                last = at;
        if (!last)
            return;
        wd_lex_views *v = *last;
        *last = v->next;
        drop(l, v);
    }
}

static wd_lex_views *find_views(wd_lexicon *l, uint64_t serial)
{
    for (wd_lex_views **at = &l->views; *at; at = &(*at)->next)
        if ((*at)->serial == serial) {
            wd_lex_views *v = *at;
            *at = v->next;
            v->next = l->views;
            l->views = v;
            v->refs++;
            return v;
        }
    return NULL;
}

static uint32_t count_automata(const wd_constraint *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_node; i++)
        for (uint32_t k = 0; k < c->node[i].n_str; k++)
            n = WD_MAX(n, c->node[i].str[k].dfa ? c->node[i].str[k].id + 1 : 0);
    return n;
}

const wd_lex_views *wd_lexicon__views(wd_lexicon *l, const wd_constraint *c)
{
    pthread_mutex_lock(&l->mu);
    wd_lex_views *v = find_views(l, c->serial);
    pthread_mutex_unlock(&l->mu);
    if (v)
        return v;
    const uint32_t n = count_automata(c);
    bool *seen = WD_ALLOC_N(bool, (size_t)n + 1);
    bool good = seen && (v = wd_calloc(1, sizeof *v + n * sizeof v->of[0])) != NULL;
    if (good) {
        v->serial = c->serial;
        v->refs = 1;
        v->n = n;
    }
    for (uint32_t i = 0; good && i < c->n_node; i++)
        for (uint32_t k = 0; good && k < c->node[i].n_str; k++) {
            const wd_str_shape *s = &c->node[i].str[k];
            if (!s->dfa || seen[s->id])
                continue;
            seen[s->id] = true;
            good = view_of(l, s, &v->of[s->id]);
        }
    wd_free(seen);
    pthread_mutex_lock(&l->mu);
    if (good) {
        v->next = l->views;
        l->views = v;
        l->n_views++;
        evict(l);
    } else if (v) {
        l->n_views++; /* drop() counts it */
        drop(l, v);
        v = NULL;
    }
    pthread_mutex_unlock(&l->mu);
    return v;
}

void wd_lexicon__give_back_views(wd_lexicon *l, const wd_lex_views *v)
{
    wd_lex_views *shared = (wd_lex_views *)v; /* only the count changes */
    if (!v)
        return;
    pthread_mutex_lock(&l->mu);
    shared->refs--;
    pthread_mutex_unlock(&l->mu);
}

void wd_lexicon__free_views(wd_lexicon *l)
{
    while (l->views) {
        wd_lex_views *v = l->views;
        l->views = v->next;
        drop(l, v);
    }
}
