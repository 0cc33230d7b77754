/* Any bytes as the body of a request, to each route: it is taken, or refused with a status, a sentence and valid JSON. */
#include <stdlib.h>

#include "serve/inner.h"
#include "text/mini.h"
#include "text/schema/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static wd_server server;
static wd_engine engine;
static wd_served model;

static void must(bool good)
{
    if (!good)
        abort();
}

static void open_once(void)
{
    const mini m = { .added = MINI_ADDED(262, "<|im_start|>", true) "," MINI_ADDED(263, "<think>", false) };
    wd_buf json = { 0 };
    wd_tokenizer *tok;
    wd_err err;
    if (server.metrics)
        return;
    mini_json(&m, &json);
    must(!wd_tokenizer_open_json(wd_buf_view(&json), "mini", &tok, &err));
    wd_buf_free(&json);
    engine.info = (wd_engine_info){
        .name = "none", .chat_kind = "qwen3", .n_embd = 8, .context = 512, .sample = WD_SAMPLE_OPTS_DEFAULT
    };
    server.o = WD_SERVE_OPTS_DEFAULT;
    server.o.max_images = 4;
    sem_init(&server.decoders, 0, 1);
    server.metrics = wd_metrics_create();
    must(server.metrics != NULL);
    must(!wd_constraint_cache_create(server.o.constraint_bytes, &server.constraints, &err));
    model = (wd_served){
        .name = "m", .engine = &engine, .tokenizer = tok, .kind = WD_CHAT_QWEN3, .metrics = server.metrics
    };
}

static void check_fault(const wd_fault *f)
{
    wd_buf b = { 0 };
    wd_err err;
    json_t *v;
    must(f->http >= 400 && f->http < 600 && f->text[0]);
    wd_fault_json(f, &b);
    must(!wd_json_parse(wd_buf_view(&b), "fault", &v, &err));
    json_decref(v);
    wd_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const wd_route *const routes[] = { &wd_route_chat,     &wd_route_completions, &wd_route_embeddings,
                                              &wd_route_rerank,   &wd_route_tokenize,    &wd_route_detokenize,
                                              &wd_route_responses };
    wd_fault f = { 0 };
    if (size < 1)
        return 0;
    open_once();
    engine.info.sees = data[0] & 8;
    wd_req *r = WD_ALLOC(wd_req);
    must(r != NULL);
    r->server = &server;
    r->model = &model;
    r->route = routes[(data[0] & 7) % WD_COUNT(routes)];
    atomic_store(&r->refs, 1);
    pthread_mutex_init(&r->mu, NULL);
    r->arena = wd_arena_create((size_t)1 << 28, true);
    wd_buf_put(&r->body, data + 1, size - 1);
    wd_status st = wd_serve__read_body(r, &f);
    if (!st)
        st = r->route->prepare(r, &f);
    if (st)
        check_fault(&f);
    wd_serve__unref(r);
    return 0;
}
