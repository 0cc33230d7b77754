/* The remote engine over scripted upstreams, and requests for it. */
#include "remote_rig.h"

#include <stdio.h>

#include "media/png_write.h"

wd_status create(wd_remote_opts o, const upstream *const *u, size_t n, wd_engine **e, wd_err *err)
{
    const char *url[WD_UPSTREAMS_MAX];
    for (size_t i = 0; i < n; i++)
        url[i] = u[i]->url;
    o.url = url;
    o.n_url = n;
    o.png = wd_png_write;
    return wd_remote_create(&o, NULL, e, err);
}

wd_engine *open_one(const upstream *u, wd_remote_opts o)
{
    wd_engine *e = NULL;
    assert_ok(create(o, &u, 1, &e, &err));
    return e;
}

static wd_status on_event(void *self, const wd_parse_event *ev, wd_err *err)
{
    static const char kinds[] = { 'R', 'C', 'W', 'T', 'N', 'A' }; /* by wd_parse_kind */
    seen *s = self;
    const size_t n = strlen(s->text);
    (void)err;
    snprintf(s->text + n, sizeof s->text - n, "%c[%.*s%s%.*s]", kinds[ev->kind], (int)ev->name.n,
             (const char *)ev->name.p, ev->name.n ? " " : "", (int)ev->text.n, (const char *)ev->text.p);
    s->n_event++;
    if (s->raise)
        atomic_store(s->raise, true);
    return WD_OK;
}

static void on_token(void *self, uint32_t id, const wd_token_logprob *lp)
{
    seen *s = self;
    assert_true(id == WD_TOKEN_UNKNOWN && !lp);
    s->n_token++;
}

const wd_part question = { WD_PART_TEXT, { (const uint8_t *)"Which CRP?", 10 } };
const wd_message user = { .role = WD_ROLE_USER, .part = &question, .n_part = 1 };

wd_generate ask(seen *s)
{
    wd_generate rq = { .chat = { .message = &user, .n_message = 1 },
                       .sample = WD_SAMPLE_OPTS_DEFAULT,
                       .max_tokens = 16 };
    rq.sample.temperature = 0;
    if (s) {
        memset(s, 0, sizeof *s);
        rq.watch = (wd_watch){ .event = on_event, .token = on_token, .self = s };
    }
    return rq;
}

wd_status generate(wd_engine *e, const wd_generate *rq, wd_generated *g, wd_err *err)
{
    return e->generate(e->self, NULL, rq, g, err);
}

void expect(wd_engine *e, const char *want)
{
    const wd_generate rq = ask(NULL);
    wd_generated g;
    assert_ok(generate(e, &rq, &g, &err));
    assert_int_equal(g.reply.content.n, strlen(want));
    assert_memory_equal(g.reply.content.p, want, g.reply.content.n);
    wd_parsed_free(&g.reply);
}

bool say_hello(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_stream(fd);
    test_host_send(fd, HELLO);
    return false;
}

const char *script;

bool say_script(upstream *u, int fd, size_t nth)
{
    (void)u, (void)nth;
    upstream_stream(fd);
    for (const char *p = script; *p; p++) /* the cut must not matter */
        test_host_sendn(fd, p, 1);
    return false;
}
