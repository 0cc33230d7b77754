/* The models of a server, by name. They come and go while it runs: a request holds the one that it uses, and what was taken
 * out is closed when nobody holds it any more. Thread-safe. */
#ifndef WD_SERVE_MODELS_H
#define WD_SERVE_MODELS_H

#include "engine/engine.h"
#include "guard/guard.h"
#include "serve/metrics.h"
#include "text/tokenizer.h"

/* What is added; copied, but for the engine and the tokenizer. */
typedef struct wd_served_opts {
    const char *name;              /* for clients: letters, digits and ._:+-, or parts of these between '/' */
    const char *base;              /* of an adapter: the name of its base; NULL: it is none */
    wd_engine *engine;             /* borrowed until close */
    const wd_tokenizer *tokenizer; /* of its model; NULL: not known */
    void (*close)(void *self);     /* nobody uses engine and tokenizer any more; NULL: nothing to do */
    void *self;
} wd_served_opts;

/* What a request wants from a model, where it names none. */
typedef enum wd_model_role { WD_MODEL_CHAT, WD_MODEL_EMBED, WD_MODEL_RERANK, WD_MODEL_N_ROLE } wd_model_role;
const char *wd_model_role_name(wd_model_role role); /* "chat", "embed", "rerank" */
WD_MUST_CHECK bool wd_model_role_parse(wd_span text, wd_model_role *out);

typedef struct wd_served {
    const char *name, *base;
    wd_engine *engine;
    const wd_tokenizer *tokenizer;
    wd_chat_kind kind;
    int64_t created; /* seconds since 1970 */
    void *self;      /* what close gets */
    wd_metrics *metrics;
    unsigned
        roles; /* 1 << wd_model_role: it answers these where no model is named; in wd_models_look alone */
} wd_served;

typedef struct wd_models wd_models;

WD_MUST_CHECK wd_status wd_models_create(wd_models **out, wd_err *err);
void wd_models_destroy(wd_models *m); /* accepts NULL; nothing is held any more */

/* 1 to WD_MODEL_NAME_MAX letters, digits and ._:+-, and '/' between them: as a path, a log line and the audit can hold it. */
bool wd_models_name_ok(const char *name);

/* One more, last in the list. replace: in the place of one of the same name, which goes as with wd_models_remove. On failure
 * the caller keeps what was given.
 *   WD_E_INVALID   the name is none
 *   WD_E_BUSY      there is one of that name, and it was not to be replaced */
WD_MUST_CHECK wd_status wd_models_add(wd_models *m, const wd_served_opts *o, bool replace, wd_err *err);
/* Nobody gets it from now on; *n_held may still use it. false: there is none of that name. */
bool wd_models_remove(wd_models *m, const char *name, size_t *n_held);

/* From now on requests of that role that name no model get the one of that name, which need not be there: then they get
 * none. A role that was given to nobody is the first model's. WD_E_INVALID: the name is none. */
WD_MUST_CHECK wd_status wd_models_assign(wd_models *m, wd_model_role role, const char *name, wd_err *err);

/* Holds the one of that name, or with none given the one of the role; NULL: there is none. */
const wd_served *wd_models_hold(wd_models *m, wd_span name, wd_model_role role);
/* Lets it go: accepts NULL. Closes what was taken out, with the last one. */
void wd_models_release(wd_models *m, const wd_served *s);

/* Shows all of them, in order, to fn, which must be quick: nobody gets or leaves one meanwhile. */
void wd_models_look(wd_models *m, void (*fn)(void *ctx, const wd_served *const *s, size_t n), void *ctx);

#define WD_MODELS_MAX 16
#define WD_MODEL_NAME_MAX WD_NAME_MAX /* as in the audit */

#endif
