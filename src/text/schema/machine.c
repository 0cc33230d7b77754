/* The machine that follows a constraint byte by byte.
 *
 * Invariants
 * 1. Each thread can be carried on to a complete document: strings by their automata, containers because none is opened
 *    that could not be closed within the depth that is left, members because what is required is counted.
 * 2. A thread's cells are reached by `cell` and their parents only; a step adds cells and changes none. So whoever tries
 *    bytes may cut the table of cells back to its length before.
 * 3. All threads have the same text behind them.
 */
#include <string.h>

#include "base/mem.h"
#include "text/schema/inner.h"

static const char *const literal_text[] = { "null", "false", "true" };

void wd_machine_init(wd_machine *m, const wd_constraint *c)
{
    *m = (wd_machine){ .c = c };
}

void wd_machine_free(wd_machine *m)
{
    wd_free(m->cell);
    wd_buf_wipe(&m->text);
    wd_buf_free(&m->text);
    *m = (wd_machine){ 0 };
}

/* --- threads --------------------------------------------------------------------------------------------------------- */

static uint32_t put_cell(wd_machine *m, wd_cell c)
{
    if (m->n_cell == m->cap_cell) {
        const uint32_t cap = m->cap_cell ? 2 * m->cap_cell : 256;
        wd_cell *v = wd_realloc(m->cell, cap, sizeof *v);
        if (!v) {
            m->failed = true;
            return WD_NONE;
        }
        m->cell = v;
        m->cap_cell = cap;
    }
    m->cell[m->n_cell] = c;
    return m->n_cell++;
}

/* Whether two chains say the same: equal containers in equal progress. Bounded by the depth and the names used. */
static bool same_chain(const wd_machine *m, uint32_t a, uint32_t b)
{
    while (a != b) {
        if (a == WD_NONE || b == WD_NONE)
            return false;
        const wd_cell *x = &m->cell[a], *y = &m->cell[b];
        if (x->shape != y->shape || x->at != y->at || x->n != y->n)
            return false;
        for (uint32_t i = x->used, k = y->used; i != k; i = m->cell[i].parent, k = m->cell[k].parent)
            if (i == WD_NONE || k == WD_NONE || m->cell[i].at != m->cell[k].at ||
                m->cell[i].n != m->cell[k].n)
                return false;
        a = x->parent;
        b = y->parent;
    }
    return true;
}

static bool same_thread(const wd_machine *m, const wd_thread *a, const wd_thread *b)
{
    return a->where == b->where && a->phase == b->phase && a->gap == b->gap && a->name == b->name &&
           a->shape == b->shape && a->q == b->q && a->n == b->n && a->x == b->x && a->from == b->from &&
           same_chain(m, a->cell, b->cell);
}

static void put(wd_machine *m, wd_threads *out, wd_thread t)
{
    for (uint32_t i = 0; i < out->n; i++)
        if (same_thread(m, &out->t[i], &t))
            return;
    if (out->n < WD_THREADS_MAX)
        out->t[out->n++] = t;
    else
        m->crowded = true;
}

static uint8_t depth_of(const wd_machine *m, uint32_t cell)
{
    return cell == WD_NONE ? 0 : m->cell[cell].depth;
}

/* Whether a value of the node can be written inside the container. */
static bool fits(const wd_machine *m, uint32_t node, uint32_t cell)
{
    return node != WD_NONE && m->c->node[node].height <= WD_SCHEMA_DEPTH - depth_of(m, cell);
}

/* Threads before the first byte of a value. */
static void put_value(wd_machine *m, uint32_t node, uint32_t cell, wd_threads *out)
{
    const wd_node *n = &m->c->node[node];
    const uint32_t left = WD_SCHEMA_DEPTH - depth_of(m, cell);
    for (uint32_t i = 0; i < n->n_str; i++)
        put(m, out,
            (wd_thread){ .where = WD_AT_STRING,
                         .cell = cell,
                         .shape = &n->str[i],
                         .phase = n->str[i].raw ? WD_PH_TEXT : WD_PH_QUOTE });
    for (uint32_t i = 0; i < n->n_num; i++)
        put(m, out, (wd_thread){ .where = WD_AT_NUMBER, .cell = cell, .shape = n->num[i] });
    for (uint32_t i = 0; i < 3; i++)
        if (n->literals >> i & 1)
            put(m, out, (wd_thread){ .where = WD_AT_LITERAL, .cell = cell, .x = i });
    for (uint32_t i = 0; i < n->n_obj; i++)
        if (n->obj[i].height <= left)
            put(m, out, (wd_thread){ .where = WD_AT_OPEN, .cell = cell, .shape = &n->obj[i], .x = '{' });
    for (uint32_t i = 0; i < n->n_arr; i++)
        if (n->arr[i].height <= left)
            put(m, out, (wd_thread){ .where = WD_AT_OPEN, .cell = cell, .shape = &n->arr[i], .x = '[' });
}

static void after_value(wd_machine *m, uint32_t cell, wd_threads *out)
{
    put(m, out, (wd_thread){ .where = cell == WD_NONE ? WD_AT_END : WD_AT_AFTER, .cell = cell });
}

/* --- members --------------------------------------------------------------------------------------------------------- */

/* How many of the properties from `at` on can be written at this depth. */
static uint32_t writable(const wd_machine *m, const wd_obj_shape *o, uint32_t at, uint32_t cell)
{
    uint32_t n = 0;
    for (uint32_t i = at; i < o->n_prop; i++)
        n += fits(m, o->node[i], cell);
    return n;
}

static bool extra_fits(const wd_machine *m, const wd_obj_shape *o, uint32_t cell)
{
    return fits(m, o->extra, cell);
}

/* Whether property `prop` may come next in the object. */
static bool may_come(const wd_machine *m, uint32_t cell, uint32_t prop)
{
    const wd_cell *c = &m->cell[cell];
    const wd_obj_shape *o = c->shape;
    if (prop < c->at || o->need[c->at] != o->need[prop]) /* one in between is required */
        return false;
    if (!fits(m, o->node[prop], cell) || c->n >= o->max || o->need[prop + 1] > o->max - c->n - 1)
        return false;
    return c->n + 1 >= o->min || extra_fits(m, o, cell) ||
           c->n + 1 + writable(m, o, prop + 1, cell) >= o->min;
}

static bool extra_may_come(const wd_machine *m, uint32_t cell)
{
    const wd_cell *c = &m->cell[cell];
    const wd_obj_shape *o = c->shape;
    return extra_fits(m, o, cell) && o->need[c->at] == 0 && c->n < o->max;
}

/* Another member may come: some known name, or an additional one. */
static bool more_may_come(const wd_machine *m, uint32_t cell)
{
    const wd_cell *c = &m->cell[cell];
    if (c->array) {
        const wd_arr_shape *a = c->shape;
        return c->n < a->max && fits(m, c->n < a->n_prefix ? a->prefix[c->n] : a->rest, cell);
    }
    const wd_obj_shape *o = c->shape;
    for (uint32_t i = c->at; i < o->n_prop; i++) {
        if (may_come(m, cell, i))
            return true;
        if (o->need[i] != o->need[i + 1])
            break;
    }
    return extra_may_come(m, cell);
}

static bool may_close(const wd_machine *m, uint32_t cell)
{
    const wd_cell *c = &m->cell[cell];
    if (c->array)
        return c->n >= ((const wd_arr_shape *)c->shape)->min;
    const wd_obj_shape *o = c->shape;
    return o->need[c->at] == 0 && c->n >= o->min;
}

/* Of the names [from, to), sorted, those whose byte at `at` is b. */
static void narrow(const wd_obj_shape *o, uint32_t at, uint8_t b, uint32_t *from, uint32_t *to)
{
    while (*from < *to && (o->name[*from].text.n <= at || o->name[*from].text.p[at] < b))
        ++*from;
    uint32_t end = *from;
    while (end < *to && o->name[end].text.n > at && o->name[end].text.p[at] == b)
        end++;
    *to = end;
}

static bool some_may_come(const wd_machine *m, const wd_obj_shape *o, uint32_t cell, uint32_t from,
                          uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        if (may_come(m, cell, o->name[i].prop))
            return true;
    return false;
}

/* A member begins: threads for names or items, in the gap `gap` of which any part may be left out. */
static void put_members(wd_machine *m, uint32_t cell, wd_threads *out)
{
    wd_cell c = m->cell[cell];
    if (!c.array) {
        if (extra_may_come(m, cell))
            put(m, out,
                (wd_thread){ .where = WD_AT_STRING, .cell = cell, .name = true, .phase = WD_PH_QUOTE });
        return; /* known names begin at their quote */
    }
    const wd_arr_shape *a = c.shape;
    if (!more_may_come(m, cell))
        return;
    const uint32_t node = c.n < a->n_prefix ? a->prefix[c.n] : a->rest;
    const uint32_t cap = WD_MAX(a->n_prefix, a->min);
    if (a->max != UINT32_MAX || c.n < cap) /* beyond it all are alike */
        c.n++;
    cell = put_cell(m, c);
    if (cell != WD_NONE)
        put_value(m, node, cell, out);
}

static void at_gap(wd_machine *m, wd_thread t, wd_threads *out)
{
    put(m, out, t);
    put_members(m, t.cell, out);
}

/* One byte of white space; false when it may not come. */
static bool gap_step(uint8_t *gap, uint8_t b)
{
    if (*gap == WD_GAP_OPEN && b == ' ')
        *gap = WD_GAP_DONE;
    else if (*gap == WD_GAP_OPEN && b == '\n')
        *gap = WD_GAP_LINE;
    else if (*gap >= WD_GAP_LINE && *gap < WD_GAP_LINE + WD_SCHEMA_INDENT && (b == ' ' || b == '\t'))
        ++*gap;
    else
        return false;
    return true;
}

static uint8_t gap_of(const wd_machine *m)
{
    return m->c->space == WD_SPACE_NONE ? WD_GAP_DONE : WD_GAP_OPEN;
}

/* --- one byte -------------------------------------------------------------------------------------------------------- */

static void step_open(wd_machine *m, const wd_thread *t, uint8_t b, wd_threads *out)
{
    if (b != t->x)
        return;
    const uint32_t cell = put_cell(m, (wd_cell){ .shape = t->shape,
                                                 .array = b == '[',
                                                 .depth = (uint8_t)(depth_of(m, t->cell) + 1),
                                                 .parent = t->cell,
                                                 .used = WD_NONE });
    if (cell != WD_NONE)
        at_gap(m, (wd_thread){ .where = WD_AT_FIRST, .cell = cell, .gap = gap_of(m) }, out);
}

static void close_container(wd_machine *m, uint32_t cell, uint8_t b, wd_threads *out)
{
    if (b == (m->cell[cell].array ? ']' : '}') && may_close(m, cell))
        after_value(m, m->cell[cell].parent, out);
}

static void step_member(wd_machine *m, const wd_thread *t, uint8_t b, wd_threads *out)
{
    wd_thread to = *t;
    if (gap_step(&to.gap, b)) {
        at_gap(m, to, out);
        return;
    }
    if (t->where == WD_AT_FIRST)
        close_container(m, t->cell, b, out);
    const wd_cell *c = &m->cell[t->cell];
    if (b != '"' || c->array)
        return; /* items and additional names have threads of their own */
    const wd_obj_shape *o = c->shape;
    if (some_may_come(m, o, t->cell, 0, o->n_prop))
        put(m, out, (wd_thread){ .where = WD_AT_NAME, .cell = t->cell, .x = 0, .q = o->n_prop });
}

static void step_name(wd_machine *m, const wd_thread *t, uint8_t b, wd_threads *out)
{
    wd_cell c = m->cell[t->cell];
    const wd_obj_shape *o = c.shape;
    if (b == '"' && o->name[t->x].text.n == t->n) { /* the shortest of those that fit comes first */
        const uint32_t prop = o->name[t->x].prop;
        if (!may_come(m, t->cell, prop))
            return;
        c.at = prop + 1;
        c.n = o->max == UINT32_MAX && c.n >= o->min ? c.n : c.n + 1;
        const uint32_t cell = put_cell(m, c);
        if (cell != WD_NONE)
            put(m, out, (wd_thread){ .where = WD_AT_COLON, .cell = cell, .x = o->node[prop] });
        return;
    }
    wd_thread to = *t;
    narrow(o, t->n, b, &to.x, &to.q);
    to.n++;
    if (some_may_come(m, o, t->cell, to.x, to.q))
        put(m, out, to);
}

static bool is_name(const wd_obj_shape *o, wd_span text)
{
    uint32_t lo = 0, hi = o->n_prop;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        const wd_span s = o->name[mid].text;
        const size_t n = WD_MIN(s.n, text.n);
        const int c = n ? memcmp(s.p, text.p, n) : 0;
        if (c == 0 && s.n == text.n)
            return true;
        if (c < 0 || (c == 0 && s.n < text.n))
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

bool wd_machine_taken(const wd_machine *m, uint32_t cell, wd_span name)
{
    const wd_cell *c = &m->cell[cell];
    if (is_name(c->shape, name))
        return true;
    for (uint32_t i = c->used; i != WD_NONE; i = m->cell[i].parent) {
        const wd_cell *u = &m->cell[i];
        if (u->n == name.n && (!name.n || memcmp(m->text.p + u->at, name.p, name.n) == 0))
            return true;
    }
    return false;
}

/* The name of an additional member is complete. */
static void end_extra(wd_machine *m, const wd_thread *t, uint32_t end, wd_threads *out)
{
    wd_cell c = m->cell[t->cell];
    const wd_obj_shape *o = c.shape;
    const wd_span text = wd_span_sub(wd_buf_view(&m->text), t->from, end - t->from);
    if (wd_machine_taken(m, t->cell, text))
        return;
    c.used = put_cell(m,
                      (wd_cell){ .parent = c.used, .at = t->from, .n = (uint32_t)text.n, .used = WD_NONE });
    c.at = o->n_prop;
    c.n = o->max == UINT32_MAX && c.n >= o->min ? c.n : c.n + 1;
    const uint32_t cell = c.used == WD_NONE ? WD_NONE : put_cell(m, c);
    if (cell != WD_NONE)
        put(m, out, (wd_thread){ .where = WD_AT_COLON, .cell = cell, .x = o->extra });
}

void wd_machine_closed(wd_machine *m, const wd_thread *t, uint32_t end, wd_threads *out)
{
    if (t->name)
        end_extra(m, t, end, out);
    else
        after_value(m, t->cell, out);
}

static void step_string(wd_machine *m, const wd_thread *t, uint8_t b, wd_threads *out)
{
    wd_thread to = *t;
    const int how = wd_string_step(&to, b);
    if (how == WD_STR_ON) {
        if (t->phase == WD_PH_QUOTE)
            to.from = (uint32_t)m->text.n + 1;
        put(m, out, to);
    } else if (how == WD_STR_CLOSED) {
        wd_machine_closed(m, &to, (uint32_t)m->text.n, out);
    }
}

static void step_after(wd_machine *m, const wd_thread *t, uint8_t b, wd_threads *out)
{
    uint8_t gap = t->gap;
    if (t->where == WD_AT_AFTER) {
        gap = gap_of(m);
        if (b == ',' && more_may_come(m, t->cell)) {
            at_gap(m, (wd_thread){ .where = WD_AT_NEXT, .cell = t->cell, .gap = gap }, out);
            return;
        }
    }
    if (gap_step(&gap, b)) {
        if (may_close(m, t->cell))
            put(m, out, (wd_thread){ .where = WD_AT_CLOSE, .cell = t->cell, .gap = gap });
        return;
    }
    close_container(m, t->cell, b, out);
}

static void step_number(wd_machine *m, const wd_thread *t, uint8_t b, wd_threads *out)
{
    const wd_num *d = t->shape;
    const int cls = wd_num_class(b);
    const uint16_t q = cls < 0 ? WD_NUM_DEAD : d->next[t->q][cls];
    if (q != WD_NUM_DEAD) {
        wd_thread to = *t;
        to.q = q;
        put(m, out, to);
    } else if (d->accept[t->q] && t->cell != WD_NONE) {
        const wd_thread after = { .where = WD_AT_AFTER, .cell = t->cell };
        step_after(m, &after, b, out);
    }
}

static void step_literal(wd_machine *m, const wd_thread *t, uint8_t b, wd_threads *out)
{
    const char *text = literal_text[t->x];
    if ((uint8_t)text[t->n] != b)
        return;
    wd_thread to = *t;
    to.n++;
    if (text[to.n])
        put(m, out, to);
    else
        after_value(m, t->cell, out);
}

void wd_machine_step(wd_machine *m, const wd_thread *t, uint8_t b, wd_threads *out)
{
    wd_thread to = *t;
    switch ((wd_where)t->where) {
    case WD_AT_START:
        if (b == '\n' && m->lines_before && t->q < 2 && m->c->space != WD_SPACE_NONE) {
            to.q++;
            put(m, out, to);
            put_value(m, 0, WD_NONE, out);
        }
        break;
    case WD_AT_STRING:
        step_string(m, t, b, out);
        break;
    case WD_AT_NUMBER:
        step_number(m, t, b, out);
        break;
    case WD_AT_LITERAL:
        step_literal(m, t, b, out);
        break;
    case WD_AT_OPEN:
        step_open(m, t, b, out);
        break;
    case WD_AT_FIRST:
    case WD_AT_NEXT:
        step_member(m, t, b, out);
        break;
    case WD_AT_NAME:
        step_name(m, t, b, out);
        break;
    case WD_AT_COLON:
        if (b == ':') {
            if (m->c->space != WD_SPACE_NONE)
                put(m, out, (wd_thread){ .where = WD_AT_VALUE, .cell = t->cell, .x = t->x });
            put_value(m, t->x, t->cell, out);
        }
        break;
    case WD_AT_VALUE:
        if (b == ' ')
            put_value(m, t->x, t->cell, out);
        break;
    case WD_AT_AFTER:
    case WD_AT_CLOSE:
        step_after(m, t, b, out);
        break;
    case WD_AT_END:
        if (b == '\n' && m->line_end && !t->q) {
            to.q++;
            put(m, out, to);
        }
        break;
    }
}

void wd_machine_start(wd_machine *m, wd_threads *out)
{
    out->n = 0;
    if (!m->c->raw)
        put(m, out, (wd_thread){ .where = WD_AT_START, .cell = WD_NONE });
    put_value(m, 0, WD_NONE, out);
}

bool wd_machine_ends(const wd_machine *m, const wd_threads *t)
{
    (void)m;
    for (uint32_t i = 0; i < t->n; i++) {
        const wd_thread *k = &t->t[i];
        if (k->where == WD_AT_END)
            return true;
        if (k->where == WD_AT_NUMBER && k->cell == WD_NONE && ((const wd_num *)k->shape)->accept[k->q])
            return true;
        const wd_str_shape *s = k->shape;
        if (k->where == WD_AT_STRING && s && s->raw && k->phase == WD_PH_TEXT && s->dfa->accept[k->q])
            return true;
    }
    return false;
}

/* A cell's parent and used names are older than itself: their numbers are lower. */
void wd_machine_tidy(wd_machine *m, wd_threads *t)
{
    uint32_t *to = WD_ALLOC_N(uint32_t, (size_t)m->n_cell + 1), n = 0;
    if (!to)
        return; /* another time */
    for (uint32_t i = 0; i < t->n; i++)
        if (t->t[i].cell != WD_NONE)
            to[t->t[i].cell] = 1;
    for (uint32_t i = m->n_cell; i-- > 0;) {
        if (to[i] && m->cell[i].parent != WD_NONE)
            to[m->cell[i].parent] = 1;
        if (to[i] && m->cell[i].used != WD_NONE)
            to[m->cell[i].used] = 1;
    }
    for (uint32_t i = 0; i < m->n_cell; i++) {
        if (!to[i])
            continue;
        wd_cell c = m->cell[i];
        c.parent = c.parent == WD_NONE ? WD_NONE : to[c.parent];
        c.used = c.used == WD_NONE ? WD_NONE : to[c.used];
        to[i] = n;
        m->cell[n++] = c;
    }
    for (uint32_t i = 0; i < t->n; i++)
        if (t->t[i].cell != WD_NONE)
            t->t[i].cell = to[t->t[i].cell];
    m->n_cell = n;
    wd_free(to);
}
