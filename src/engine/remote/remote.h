/* The engine's port over servers with an OpenAI-compatible API: Ward itself, vLLM, SGLang, llama-server, others.
 *
 * A call goes to the upstream with the least calls under way. Where it cannot be reached, breaks off before the first byte
 * of its reply, or has no room (429, 502, 503, with Retry-After), the call goes to another one, or waits and goes again.
 * Once a byte of a reply has come nothing is repeated. Every upstream is asked for its models from time to time; one that
 * does not answer is used only when no other is left.
 *
 * What an upstream sends is not trusted: headers, lines, events and replies are bounded, redirects are not followed, and
 * its words never get into an error's sentence (servers quote prompts in theirs). No proxy is used, whatever the
 * environment says.
 *
 * What differs from the local engine
 * - Tokens are not known: wd_generated has their counts, as far as the upstream tells them, and no ids;
 *   wd_watch.token is called with WD_TOKEN_UNKNOWN for each piece of the reply.
 * - Refused by name (WD_E_UNSUPPORTED): log-probabilities, of reply and prompt; videos; what the kind of upstream has no
 *   field for (wd_upstream_kind).
 * - A constraint goes out as response_format or structured_outputs, and the finished reply is checked against it: one that
 *   does not satisfy it is WD_E_CORRUPT (after its pieces were handed on). With a constraint tools are sent with
 *   tool_choice "none".
 * - Tenants: vLLM gets a cache_salt for each tenant. With the others, what is cached there is shared by all.
 * - What is not said in a request (wd_engine_info.sample) is left to the upstream, which knows its model.
 *
 * Thread-safe as the port says. One thread of its own asks for health.
 */
#ifndef WD_ENGINE_REMOTE_REMOTE_H
#define WD_ENGINE_REMOTE_REMOTE_H

#include "engine/engine.h"

/* Which fields an upstream understands beyond OpenAI's API:
 *
 *                        ward   vllm   sglang  llamacpp  openai
 *   top_k, min_p          x      x      x       x
 *   repetition_penalty    x      x      x
 *   ignore_eos            x      x      x       x
 *   regular expressions   x      x      x
 *   one of some texts     x      x
 *   instruction, and pictures to embed and rank: ward alone
 *
 * chat_template_kwargs (enable_thinking, add_vision_id) are sent to all of them where they are set. */
typedef enum wd_upstream_kind {
    WD_UPSTREAM_AUTO, /* by "owned_by" of the model: what nobody knows is WD_UPSTREAM_OPENAI */
    WD_UPSTREAM_WARD,
    WD_UPSTREAM_VLLM,
    WD_UPSTREAM_SGLANG,
    WD_UPSTREAM_LLAMACPP,
    WD_UPSTREAM_OPENAI,
    WD_UPSTREAM_N_KIND
} wd_upstream_kind;

const char *wd_upstream_kind_name(wd_upstream_kind kind); /* "auto", "ward", ... */

#define WD_UPSTREAMS_MAX 64

typedef struct wd_remote_opts {
    const char *const *url; /* [n_url] "http://127.0.0.1:8000/v1"; copied, as all below */
    size_t n_url;           /* 1 .. WD_UPSTREAMS_MAX */
    const char *model;      /* as the upstreams call it; NULL: the only one they list */
    const char *key;        /* for "Authorization: Bearer"; NULL: none */
    const char *ca_file;    /* PEM, instead of the system's authorities; NULL: those */
    bool clear; /* http:// also beyond loopback: prompts cross a network unencrypted   default false */
    wd_upstream_kind
        kind; /*                                                                     default auto */
    uint32_t connect_ms; /* until a connection stands, TLS included                             default 5 s */
    uint32_t
        first_byte_ms; /* from there to the first byte of a reply                             default 600 s */
    uint32_t idle_ms;  /* between two bytes of a reply                                        default 120 s */
    uint32_t retry_ms; /* for going again, waits included; 0: each upstream once at most      default 30 s */
    uint32_t health_ms; /* between two looks at an upstream                                    default 10 s */
    wd_status (*png)(const wd_image *im, wd_buf *out, wd_err *err); /* NULL: pictures are refused */
} wd_remote_opts;
#define WD_REMOTE_OPTS_DEFAULT                  \
    ((wd_remote_opts){ .connect_ms = 5000,      \
                       .first_byte_ms = 600000, \
                       .idle_ms = 120000,       \
                       .retry_ms = 30000,       \
                       .health_ms = 10000 })

/* Asks the upstreams for their models; one that answers is enough. cancel may be NULL.
 *   WD_E_USAGE      a URL that is none, http:// beyond loopback without `clear`, a key that no header can carry; several
 *                   models and no name
 *   WD_E_IO         no upstream answers; the sentence names the first and why
 *   WD_E_NOT_FOUND  they have no model
 *   WD_E_CANCELLED */
WD_MUST_CHECK wd_status wd_remote_create(const wd_remote_opts *o, const atomic_bool *cancel, wd_engine **out,
                                         wd_err *err);
/* The name of the model, as long as the engine lives. */
const char *wd_remote_model(const wd_engine *e);

#endif
