/* Shared by the files of the schema compiler: sets of values as lists of shapes ("or"), each shape the meeting of
 * everything that was said about it ("and"). Values inside objects and arrays stay lists of schemas that must all hold,
 * so that recursion ends: each such list becomes one node. */
#ifndef WD_TEXT_SCHEMA_COMPILE_H
#define WD_TEXT_SCHEMA_COMPILE_H

#include <jansson.h>

#include "base/map.h"
#include "text/schema/inner.h"

#define WD_SHAPES_MAX 256 /* alternatives of one kind in one place */
#define WD_NODES_MAX 20000

/* Schemas that must all hold: sorted by address, unique. n 0: anything. */
typedef struct wd_all {
    uint32_t n;
    const json_t **s;
} wd_all;

typedef struct wd_str {
    const wd_dfa *dfa; /* NULL: min to max characters */
    uint32_t min, max;
} wd_str;

typedef struct wd_prop {
    wd_span name;
    wd_all all;
    bool required;
} wd_prop;

typedef struct wd_obj {
    wd_prop *prop; /* [n] in order */
    uint32_t n;
    wd_all extra;
    uint32_t min, max;
} wd_obj;

typedef struct wd_arr {
    wd_all *prefix; /* [n] */
    uint32_t n;
    wd_all rest;
    uint32_t min, max;
} wd_arr;

/* A set of values. */
typedef struct wd_set {
    uint8_t literals;
    uint32_t n_str, n_num, n_obj, n_arr;
    wd_str *str;
    wd_num_range *num;
    wd_obj *obj;
    wd_arr *arr;
} wd_set;

/* Two containers of which oneOf needs to know that no value is both. */
typedef struct wd_apart {
    const json_t *schema;
    uint32_t first, second; /* branches */
    uint32_t node;          /* of the meeting */
    struct wd_apart *next;
} wd_apart;

typedef struct wd_compiler {
    wd_arena *a;    /* the constraint's */
    wd_arena *work; /* dies with the compiler */
    const json_t *root;
    json_t *made;     /* array: schemas made here, {"const": ...} */
    wd_map *const_of; /* json_t * of a value -> json_t * of its schema */
    wd_map *set_of;   /* json_t * of a schema -> wd_set *; NULL while it is being made */
    wd_map *dfa_of;   /* pattern or "format:..." -> wd_dfa * */
    wd_map *node_of;  /* bytes of a wd_all -> node */
    wd_map *id_of;    /* wd_dfa * -> id from 1 */
    wd_all **todo;    /* [n_node] what each node is made of */
    wd_set **given;   /* [n_node] a set made otherwise, or NULL */
    wd_node *node;    /* [n_node] */
    uint32_t n_node, cap_node;
    wd_apart *apart;
    int depth;
    wd_err *err;
} wd_compiler;

/* Where a schema stands: "#/properties/a". In the work arena. */
const char *wd_schema__path(wd_compiler *c, const json_t *schema);
#define WD_SCHEMA_FAIL(c, code, schema, fmt, ...) \
    WD_FAIL((c)->err, (code), "schema: %s: " fmt, wd_schema__path((c), (schema)), __VA_ARGS__)
wd_status wd_schema__no_memory(wd_compiler *c);

/* compile_set.c: sets */
wd_set *wd_set_any(wd_compiler *c);
WD_MUST_CHECK wd_status wd_set_meet(wd_compiler *c, const json_t *at, const wd_set *x, const wd_set *y,
                                    wd_set **out);
WD_MUST_CHECK wd_status wd_set_join(wd_compiler *c, const json_t *at, const wd_set *x, const wd_set *y,
                                    wd_set **out);
/* Scalars of y are taken out of x; containers stay. */
WD_MUST_CHECK wd_status wd_set_without(wd_compiler *c, const json_t *at, const wd_set *x, const wd_set *y,
                                       wd_set **out);
WD_MUST_CHECK wd_status wd_all_add(wd_compiler *c, wd_all *all, const json_t *schema);
WD_MUST_CHECK wd_status wd_all_join(wd_compiler *c, const wd_all *x, const wd_all *y, wd_all *out);
/* Exactly one value. */
WD_MUST_CHECK wd_status wd_set_const(wd_compiler *c, const json_t *value, wd_set **out);
/* A string shape's automaton, also of one given by lengths. */
WD_MUST_CHECK wd_status wd_str_dfa(wd_compiler *c, const wd_str *s, const wd_dfa **out);

/* compile_keywords.c: the values that satisfy a schema. */
WD_MUST_CHECK wd_status wd_schema__set(wd_compiler *c, const json_t *schema, wd_set **out);

/* compile.c: the node for values that satisfy all; made later. */
WD_MUST_CHECK wd_status wd_schema__node(wd_compiler *c, const wd_all *all, uint32_t *node);
WD_MUST_CHECK wd_status wd_schema__node_of_set(wd_compiler *c, wd_set *set, uint32_t *node);

#endif
