/* What a reply must look like, compiled: a JSON Schema, any JSON object, a regular expression, or one of some texts.
 *
 * A constraint knows nothing of a vocabulary: text/schema/matcher.h brings the two together. It is immutable and shared
 * by threads and requests.
 *
 * JSON Schema, draft 2020-12. Taken: true and false, type, enum, const, properties, required, additionalProperties,
 * minProperties, maxProperties, prefixItems, items, minItems, maxItems, minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, minLength, maxLength, pattern, format (date, date-time, time, uuid, email), allOf, anyOf, oneOf,
 * $ref into the document ("#", "#/..."), also recursive, $defs, definitions. Said of a value and not needed to write
 * one, therefore skipped: title, description, default, examples, deprecated, readOnly, writeOnly, $comment, $schema, $id
 * at the root. Any other keyword is WD_E_UNSUPPORTED naming it and where it stands: what is not understood is never
 * skipped. oneOf is taken where its branches can be told apart: by type, by disjoint values of a required property, ...
 * (numbers and strings in any way); otherwise it is WD_E_UNSUPPORTED. format is always held to.
 *
 * What is written
 * - Every value that satisfies the schema can be written but for the limits below; nothing else can.
 * - Members come in the schema's order, additional ones behind them; optional ones may be left out. The order of members
 *   has no meaning in JSON. Fixing it is what the schema's author expects (reasoning before the answer), what OpenAI's
 *   API does, and it makes more of a document predictable. A name never comes twice.
 * - Each string has one spelling: what must be escaped is, in its shortest form, and nothing else. U+0000 and lone
 *   surrogates never occur. Numbers: text/schema/number.h.
 * - White space: nothing, one space or one line break with up to WD_SCHEMA_INDENT spaces or tabs behind "{", "[", ","
 *   and before "}", "]"; nothing or one space behind ":"; none elsewhere, so that a model cannot go on with white space
 *   for ever. At most two line breaks may come before a document, behind "</think>" alone. WD_SPACE_NONE: none at all.
 * - Containers nest at most WD_SCHEMA_DEPTH deep; what could not be closed within it is not opened.
 */
#ifndef WD_TEXT_SCHEMA_CONSTRAINT_H
#define WD_TEXT_SCHEMA_CONSTRAINT_H

#include <stdint.h>

#include "base/buf.h"

#define WD_SCHEMA_DEPTH 64
#define WD_SCHEMA_INDENT 64
#define WD_SCHEMA_BYTES_MAX ((size_t)4 << 20)

typedef enum wd_space { WD_SPACE_BOUNDED, WD_SPACE_NONE } wd_space;

typedef struct wd_constraint wd_constraint;

/* json: the schema's text. *out has one reference, to be given to wd_constraint_unref().
 *
 *   WD_E_CORRUPT      not JSON
 *   WD_E_UNSUPPORTED  a keyword, format or regular expression that Ward does not know; the sentence names it
 *   WD_E_INVALID      a keyword with a value it cannot have, a $ref to nowhere, or no value satisfies the schema
 *   WD_E_LIMIT        over 4 MiB, or too large once compiled
 */
WD_MUST_CHECK wd_status wd_constraint_schema(wd_span json, wd_space space, wd_constraint **out, wd_err *err);
/* Any JSON object. */
WD_MUST_CHECK wd_status wd_constraint_object(wd_space space, wd_constraint **out, wd_err *err);
/* A text that the regular expression matches as a whole. Errors as wd_dfa_regex (text/schema/dfa.h). */
WD_MUST_CHECK wd_status wd_constraint_regex(wd_span re, wd_constraint **out, wd_err *err);
/* One of n >= 1 texts, none empty. */
WD_MUST_CHECK wd_status wd_constraint_choice(const wd_span *text, size_t n, wd_constraint **out, wd_err *err);

wd_constraint *wd_constraint_ref(const wd_constraint *c);
void wd_constraint_unref(wd_constraint **c); /* accepts NULL in it, and nulls it */

/* What a constraint was made from, to be handed to another server: lives as long as the constraint. */
typedef enum wd_constraint_kind {
    WD_CONSTRAINT_SCHEMA, /* text: JSON */
    WD_CONSTRAINT_OBJECT,
    WD_CONSTRAINT_REGEX, /* text */
    WD_CONSTRAINT_CHOICE /* choice [n_choice] */
} wd_constraint_kind;

typedef struct wd_constraint_source {
    wd_constraint_kind kind;
    wd_span text;
    const wd_span *choice;
    size_t n_choice;
} wd_constraint_source;
const wd_constraint_source *wd_constraint_source_of(const wd_constraint *c);

/* Whether text is a complete one that the constraint lets through, byte by byte as a model would write it. */
bool wd_constraint_accepts(const wd_constraint *c, wd_span text);

#endif
