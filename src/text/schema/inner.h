/* Shared inside text/schema: what a constraint is compiled to, and the machine that follows it byte by byte.
 *
 * A node is the set of values that a place of the document may hold: any of its literals, numbers, strings, objects and
 * arrays ("shapes"). The machine is a set of threads. Each thread has one guess at which shape is being written: where it
 * is within a word (a string, a number, a name), and a chain of cells for the containers around it. Every thread can be
 * carried on to a complete document, so a byte is possible exactly if some thread takes it.
 */
#ifndef WD_TEXT_SCHEMA_INNER_H
#define WD_TEXT_SCHEMA_INNER_H

#include <stdatomic.h>

#include "text/schema/constraint.h"
#include "text/schema/dfa.h"
#include "text/schema/number.h"

#define WD_NONE UINT32_MAX
#define WD_TALL UINT8_MAX /* height of what cannot be written */

enum { WD_LIT_NULL = 1, WD_LIT_FALSE = 2, WD_LIT_TRUE = 4 };

typedef struct wd_str_shape {
    const wd_dfa *dfa; /* NULL: any characters, min to max of them */
    uint32_t min, max; /* 0, UINT32_MAX with a dfa */
    bool raw;          /* no quotes and escapes: the whole text */
    uint32_t id;       /* of the dfa within the constraint, for caches; 0: NULL */
} wd_str_shape;

typedef struct wd_name {
    wd_span text;  /* as written between the quotes */
    uint32_t prop; /* its place in the schema's order */
} wd_name;

typedef struct wd_obj_shape {
    uint32_t n_prop;
    const uint32_t *node; /* [n_prop] value of each property, in order */
    const uint32_t *need; /* [n_prop + 1] required ones from here on */
    const wd_name *name;  /* [n_prop] sorted by text */
    uint32_t extra;       /* node of further members, WD_NONE: there are none */
    uint32_t min, max;    /* members */
    uint8_t height;       /* containers it takes at least, itself among them */
} wd_obj_shape;

typedef struct wd_arr_shape {
    uint32_t n_prefix;
    const uint32_t *prefix; /* [n_prefix] nodes */
    uint32_t rest;          /* node, WD_NONE: no more than the prefix */
    uint32_t min, max;
    uint8_t height;
} wd_arr_shape;

typedef struct wd_node {
    uint8_t literals; /* WD_LIT_* */
    uint8_t height;   /* 0: something without containers will do */
    uint32_t n_str, n_num, n_obj, n_arr;
    const wd_str_shape *str;
    const wd_num **num;
    wd_obj_shape *obj;
    wd_arr_shape *arr;
} wd_node;

struct wd_constraint {
    atomic_uint refs;
    uint64_t serial; /* unlike any other constraint's in this process; 0 is shared */
    wd_arena *arena;
    const wd_node *node; /* [0] is the document */
    uint32_t n_node;
    wd_space space;
    bool raw; /* not JSON: no white space around it */
    wd_constraint_source source;
};

/* --- the machine --------------------------------------------------------------------------------------------------- */

typedef enum wd_where {
    WD_AT_START,   /* before the document; q: line breaks so far */
    WD_AT_STRING,  /* q: state, n: characters, phase, x */
    WD_AT_NUMBER,  /* q: state */
    WD_AT_LITERAL, /* x: which, n: letters so far */
    WD_AT_OPEN,    /* before "{" or "[" of shape */
    WD_AT_FIRST,   /* behind "{" or "[": gap */
    WD_AT_NEXT,    /* behind ",": gap */
    WD_AT_NAME,    /* in one of the known names: x and q bound those that fit, n: bytes so far */
    WD_AT_COLON,   /* x: node of the value to come */
    WD_AT_VALUE,   /* behind ":": x: node; a space may come */
    WD_AT_AFTER,   /* behind a value: "," or what ends the container */
    WD_AT_CLOSE,   /* white space before what ends the container: gap */
    WD_AT_END      /* the document is complete; q: line breaks behind it */
} wd_where;

enum {              /* of a string */
       WD_PH_QUOTE, /* before the opening one */
       WD_PH_TEXT,
       WD_PH_ESCAPE, /* behind a backslash */
       WD_PH_U,      /* behind \u */
       WD_PH_U0,
       WD_PH_U00,
       WD_PH_U00X, /* x: the third digit */
       WD_PH_1,    /* in a character; x: its bits so far, one byte is missing, or two, or three */
       WD_PH_2,
       WD_PH_3,
};

enum { /* gaps; 2 + k: a line break and k spaces */
       WD_GAP_OPEN,
       WD_GAP_DONE,
       WD_GAP_LINE
};

typedef struct wd_thread {
    uint8_t where, phase, gap;
    bool name;         /* of a string: it is the name of an additional member */
    uint32_t cell;     /* the container around, WD_NONE: the document itself */
    const void *shape; /* of a string, number or container to be opened */
    uint32_t q, n, x;
    uint32_t from; /* of a name: where in the text it begins */
} wd_thread;

/* A container that is open. Cells are never changed: progress makes another one. */
typedef struct wd_cell {
    const void *shape; /* wd_obj_shape or wd_arr_shape; NULL: a name that has been used */
    bool array;
    uint8_t depth;   /* of this one, from 1 */
    uint32_t parent; /* or the used name before this one */
    uint32_t at;     /* next property; of a used name: where in the text it begins */
    uint32_t n;      /* members or items so far; bytes of a used name */
    uint32_t used;   /* additional names, latest first; WD_NONE: none */
} wd_cell;

#define WD_THREADS_MAX 512

typedef struct wd_machine {
    const wd_constraint *c;
    wd_cell *cell; /* [n_cell] */
    uint32_t n_cell, cap_cell;
    wd_buf text;       /* written so far */
    bool failed;       /* no memory for a cell: a thread was dropped */
    bool crowded;      /* more than WD_THREADS_MAX: some were dropped */
    bool lines_before; /* up to two line breaks may come before the document */
    bool line_end;     /* one may come behind it */
} wd_machine;

typedef struct wd_threads {
    uint32_t n;
    wd_thread t[WD_THREADS_MAX];
} wd_threads;

void wd_machine_init(wd_machine *m, const wd_constraint *c);
void wd_machine_free(wd_machine *m);

/* The threads before the first byte. */
void wd_machine_start(wd_machine *m, wd_threads *out);
/* Adds to *out what t becomes by one more byte, and drops doubles. m->text must hold what comes before the byte. */
void wd_machine_step(wd_machine *m, const wd_thread *t, uint8_t byte, wd_threads *out);
/* Adds what t becomes when its string has been closed (behind the closing quote). end: one past the text's last byte of
 * the name, of a name. */
void wd_machine_closed(wd_machine *m, const wd_thread *t, uint32_t end, wd_threads *out);
/* Whether `name`, as written, may not come as an additional member of the container: it is known or has been used. */
bool wd_machine_taken(const wd_machine *m, uint32_t cell, wd_span name);
/* Leaves only the cells that t needs. */
void wd_machine_tidy(wd_machine *m, wd_threads *t);
/* Whether the document could end here. */
bool wd_machine_ends(const wd_machine *m, const wd_threads *t);

/* One byte of a string: WD_STR_DEAD, WD_STR_ON (*t moved on) or WD_STR_CLOSED (by its quote). */
enum { WD_STR_DEAD, WD_STR_ON, WD_STR_CLOSED };
int wd_string_step(wd_thread *t, uint8_t byte);

/* --- the compiler ---------------------------------------------------------------------------------------------------- */

WD_MUST_CHECK wd_status wd_schema__format(const char *format, wd_span *regex);
/* Fills c->node from the schema. */
WD_MUST_CHECK wd_status wd_schema__compile(wd_constraint *c, wd_span json, wd_err *err);

#endif
