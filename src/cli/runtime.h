/* From the options of a command to a running engine: the one place that wires weights, model and operators. */
#ifndef WD_CLI_RUNTIME_H
#define WD_CLI_RUNTIME_H

#include "cli/cli.h"
#include "engine/engine.h"
#include "model/model.h"
#include "tensor/meter.h"
#include "text/tokenizer.h"
#include "weights/weights.h"

/* Threads, turns and a budget of memory that several models of this process share. max_bytes 0: no limit. */
typedef struct wd_machine wd_machine;
WD_MUST_CHECK wd_status wd_machine_create(unsigned n_thread, size_t max_bytes, wd_machine **out, wd_err *err);
void wd_machine_destroy(wd_machine *m); /* accepts NULL; its models are closed */

/* Options of every command that runs a model; a field of its options struct. */
typedef struct wd_model_args {
    const char *model, *mmproj;
    wd_opt_list lora;
    const char *isa, *precision, *weights, *chat_template, *kv, *lookup, *hold;
    int64_t threads, context;
    int64_t min_pixels, max_pixels; /* of an image */
    double fps;
    int64_t max_frames;
    const char *remote_model, *remote_key, *remote_ca, *remote_kind; /* of a model that is another server's */
    int64_t remote_connect_s, remote_wait_s, remote_idle_s, remote_retry_s;
    bool remote_clear;
    /* no options of every command: 0 is the engine's default (engine/local/local.h) */
    int64_t max_seqs, step_ms, kv_mb, prefix_mb, image_mb; /* MiB */
    wd_machine *machine; /* borrowed by the model; NULL: it has this process for itself */
    const char *name;    /* in messages; NULL: its path */
    bool metered;        /* the operators keep account (wd_runtime_meter)  default false */
} wd_model_args;

#define WD_MODEL_OPT_(T, m, name, flag, type, field, def, min, max, help)                      \
    {                                                                                          \
        name, flag, type, offsetof(T, m) + offsetof(wd_model_args, field), def, min, max, help \
    }
/* Rows of an option table for struct T with the field `m`. */
/* clang-format off */
#define WD_MODEL_OPTS(T, m)                                                                                            \
    WD_MODEL_OPT_(T, m, "model", 'm', WD_OPT_STR, model, NULL, 0, 0,                                                   \
                  "checkpoint directory, GGUF file, or URL[,URL] of servers with OpenAI's API"),                       \
    WD_MODEL_OPTS_BUT_MODEL(T, m)
#define WD_MODEL_OPTS_BUT_MODEL(T, m)                                                                                  \
    WD_MODEL_OPT_(T, m, "mmproj", 0, WD_OPT_STR, mmproj, NULL, 0, 0, "a GGUF model's vision part; else found beside"), \
    WD_MODEL_OPT_(T, m, "lora", 0, WD_OPT_LIST, lora, NULL, 0, 0, "PEFT adapter DIR[=scale]"),                         \
    WD_MODEL_OPT_(T, m, "context", 0, WD_OPT_INT, context, "0", 0, 1 << 24, "most tokens in all; 0: the model's"),     \
    WD_MODEL_OPT_(T, m, "threads", 0, WD_OPT_INT, threads, "0", 0, 1024, "threads; 0: one per physical core"),         \
    WD_MODEL_OPT_(T, m, "isa", 0, WD_OPT_STR, isa, "auto", 0, 0, "ref, avx2, avx512, avx512vnni, avx512bf16, amx or auto"), \
    WD_MODEL_OPT_(T, m, "precision", 0, WD_OPT_STR, precision, "fast", 0, 0, "fast (bf16 products) or exact (f32)"),   \
    WD_MODEL_OPT_(T, m, "weights", 0, WD_OPT_STR, weights, "as-stored", 0, 0, "as-stored, or w8, w4: quantised at start"), \
    WD_MODEL_OPT_(T, m, "hold", 0, WD_OPT_STR, hold, "as-needed", 0, 0,                                                \
                  "weights in memory: as-needed, preload (read at start) or lock (and kept there)"),                   \
    WD_MODEL_OPT_(T, m, "kv", 0, WD_OPT_STR, kv, "auto", 0, 0, "keys and values in f32, bf16, int8 or auto"),          \
    WD_MODEL_OPT_(T, m, "lookup", 0, WD_OPT_STR, lookup, "auto", 0, 0,                                                 \
                  "what repeats the prompt is guessed: auto (while that is faster) or off"),                           \
    WD_MODEL_OPT_(T, m, "chat-template", 0, WD_OPT_STR, chat_template, "auto", 0, 0,                                   \
                  "qwen3, qwen3-instruct-2507, qwen3-thinking-2507, qwen3-vl-instruct, qwen3-vl-thinking"),            \
    WD_MODEL_OPT_(T, m, "min-pixels", 0, WD_OPT_INT, min_pixels, "0", 0, 1 << 28, "of an image; 0: the model's"),      \
    WD_MODEL_OPT_(T, m, "max-pixels", 0, WD_OPT_INT, max_pixels, "0", 0, 1 << 28, "of an image; 0: the model's"),      \
    WD_MODEL_OPT_(T, m, "fps", 0, WD_OPT_NUM, fps, "0", 0, 1000, "frames per second of a video; 0: the model's"),      \
    WD_MODEL_OPT_(T, m, "max-frames", 0, WD_OPT_INT, max_frames, "0", 0, 1 << 20, "of a video; 0: the model's"),       \
    WD_MODEL_OPT_(T, m, "remote-model", 0, WD_OPT_STR, remote_model, NULL, 0, 0, "-m URL: the model's name there; else its only one"), \
    WD_MODEL_OPT_(T, m, "remote-key", 0, WD_OPT_STR, remote_key, NULL, 0, 0, "-m URL: file with the key; else $WARD_REMOTE_KEY"), \
    WD_MODEL_OPT_(T, m, "remote-ca", 0, WD_OPT_STR, remote_ca, NULL, 0, 0, "-m URL: authorities (PEM) instead of the system's"), \
    WD_MODEL_OPT_(T, m, "remote-kind", 0, WD_OPT_STR, remote_kind, "auto", 0, 0, "-m URL: auto, ward, vllm, sglang, llamacpp or openai"), \
    WD_MODEL_OPT_(T, m, "remote-clear", 0, WD_OPT_BOOL, remote_clear, "false", 0, 0, "-m URL: http:// beyond this machine, too"), \
    WD_MODEL_OPT_(T, m, "remote-connect-s", 0, WD_OPT_INT, remote_connect_s, "5", 1, 3600, "-m URL: seconds until a connection stands"), \
    WD_MODEL_OPT_(T, m, "remote-wait-s", 0, WD_OPT_INT, remote_wait_s, "600", 1, 86400, "-m URL: until a reply begins"), \
    WD_MODEL_OPT_(T, m, "remote-idle-s", 0, WD_OPT_INT, remote_idle_s, "120", 1, 86400, "-m URL: of silence within a reply"), \
    WD_MODEL_OPT_(T, m, "remote-retry-s", 0, WD_OPT_INT, remote_retry_s, "30", 0, 86400, "-m URL: for going again while there is no room")
/* clang-format on */

typedef struct wd_runtime wd_runtime;

/* Opens the model: the files are mapped, and no progress is shown unless --weights asks for work. */
WD_MUST_CHECK wd_status wd_runtime_open(wd_cli *cli, const wd_model_args *m, wd_runtime **out, wd_err *err);
/* The same weights with the adapter of a directory beside them, as a model of its own: with its own cache, and in steps of
 * its own. `of` may be closed before it. Not while another thread opens one of the same base. m->name is needed. */
WD_MUST_CHECK wd_status wd_runtime_open_adapter(const wd_model_args *m, wd_runtime *of, const char *dir,
                                                wd_runtime **out, wd_err *err);
void wd_runtime_close(wd_runtime *r); /* accepts NULL */

wd_engine *wd_runtime_engine(wd_runtime *r);
/* The engine's, valid as long as it; NULL: another server's. */
const wd_tokenizer *wd_runtime_tokenizer(const wd_runtime *r);
double wd_runtime_load_s(const wd_runtime *r);
const char *wd_runtime_isa(const wd_runtime *r);
uint32_t wd_runtime_isa_bits(const wd_runtime *r);
const wd_weights *wd_runtime_weights(const wd_runtime *r); /* NULL: another server's */
/* Of the weights, in hex, in the arena; *out NULL: another server's. */
WD_MUST_CHECK wd_status wd_runtime_digest(const wd_runtime *r, wd_arena *a, const char **out, wd_err *err);
/* The name of another server's model there; NULL: it is in this process. */
const char *wd_runtime_remote_model(const wd_runtime *r);
/* For measuring below the engine in this process. Its calls and these must take turns. */
wd_model *wd_runtime_model(wd_runtime *r);
wd_ops *wd_runtime_ops(wd_runtime *r);
wd_pool *wd_runtime_pool(wd_runtime *r);
wd_meter *wd_runtime_meter(wd_runtime *r);            /* NULL unless metered */
const wd_kv_opts *wd_runtime_kv(const wd_runtime *r); /* how the engine keeps keys and values */

#endif
