/* Requests and their answers: references, the whole answer, the stream, the first fault. */
#include <stdio.h>

#include "base/clock.h"
#include "serve/inner.h"

void wd_serve__ref(wd_req *r)
{
    atomic_fetch_add(&r->refs, 1);
}

void wd_serve__unref(wd_req *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    if (r->state && r->route->release)
        r->route->release(r->state);
    json_decref(r->json);
    wd_arena_destroy(r->arena);
    wd_buf_wipe(&r->body);
    wd_buf_free(&r->body);
    wd_buf_wipe(&r->out);
    wd_buf_free(&r->out);
    wd_buf_wipe(&r->early);
    wd_buf_free(&r->early);
    wd_wipe(r->cookie, sizeof r->cookie);
    atomic_fetch_sub(&r->server->n_body, r->n_counted);
    pthread_mutex_destroy(&r->mu);
    wd_free(r);
}

/* Under mu. The connection goes on: it finds something to send. */
static void wake(wd_req *r)
{
    if (!r->suspended || r->gone)
        return;
    r->suspended = false;
    MHD_resume_connection(r->conn);
}

void wd_serve__answer(wd_req *r, int http, const char *type, wd_buf *body)
{
    static const char no_memory[] =
        "{\"error\":{\"message\":\"no memory\",\"type\":\"server_error\",\"param\":null,"
        "\"code\":\"no_memory\"}}";
    pthread_mutex_lock(&r->mu);
    if (!r->answered) {
        r->answered = true;
        r->http = http;
        r->type = type;
        r->out = *body;
        *body = (wd_buf){ 0 };
        if (r->out.failed) {
            wd_buf_wipe(&r->out);
            wd_buf_free(&r->out);
            wd_buf_str(&r->out, no_memory); /* what fails here is sent without a body */
            r->http = 503;
            r->type = "application/json";
        }
        wake(r);
    }
    pthread_mutex_unlock(&r->mu);
    wd_buf_wipe(body);
    wd_buf_free(body);
}

void wd_serve__answer_fault(wd_req *r, const wd_fault *f)
{
    wd_buf body = { 0 };
    wd_fault_json(f, &body);
    pthread_mutex_lock(&r->mu);
    r->fault = *f;
    r->failed = true;
    pthread_mutex_unlock(&r->mu);
    wd_serve__answer(r, f->http, "application/json", &body);
}

wd_status wd_serve__end_visit(wd_req *r, int http, const char *code, wd_fault *f)
{
    pthread_mutex_lock(&r->mu);
    const wd_gate_outcome o = { .http = http, .code = code, .n_in = r->n_prompt, .n_out = r->n_reply };
    pthread_mutex_unlock(&r->mu);
    return wd_gate_end(&r->visit, &o, f);
}

void wd_serve__fail(wd_req *r, const wd_fault *f)
{
    pthread_mutex_lock(&r->mu);
    if (!r->failed) {
        r->failed = true;
        r->fault = *f;
    }
    pthread_mutex_unlock(&r->mu);
    atomic_store(&r->cancel, true);
}

void wd_serve__cancel(wd_req *r, const char *why)
{
    pthread_mutex_lock(&r->mu);
    if (!r->why && (!r->answered || (r->streaming && !r->ended))) /* what is complete cannot be ended early */
        r->why = why;
    pthread_mutex_unlock(&r->mu);
    atomic_store(&r->cancel, true);
}

bool wd_serve__is_streaming(wd_req *r)
{
    pthread_mutex_lock(&r->mu);
    const bool is = r->streaming;
    pthread_mutex_unlock(&r->mu);
    return is;
}

void wd_serve__stream_open(wd_req *r)
{
    pthread_mutex_lock(&r->mu);
    if (!r->answered) {
        r->answered = r->streaming = true;
        r->http = 200;
        r->type = "text/event-stream";
        wake(r);
    }
    pthread_mutex_unlock(&r->mu);
}

/* Under mu: bytes that were sent leave the buffer, before it would grow for what comes. */
static void drop_sent(wd_req *r, size_t more)
{
    if (r->out_at == r->out.n)
        r->out.n = r->out_at = 0;
    if (r->out_at == 0 || r->out.n + more <= r->out.cap)
        return;
    memmove(r->out.p, r->out.p + r->out_at, r->out.n - r->out_at);
    r->out.n -= r->out_at;
    r->out_at = 0;
}

wd_status wd_serve__stream_put(wd_req *r, wd_span bytes)
{
    wd_status st = WD_OK;
    bool behind = false;
    pthread_mutex_lock(&r->mu);
    if (r->gone || !r->streaming || r->ended || r->broken) {
        st = WD_E_CANCELLED;
    } else if (r->out.n - r->out_at + bytes.n > r->server->o.stream_bytes) {
        behind = true;
        st = WD_E_CANCELLED;
    } else {
        drop_sent(r, bytes.n);
        wd_buf_span(&r->out, bytes);
        if (r->out.failed)
            st = WD_E_CANCELLED;
        wake(r);
    }
    if (st) { /* what is missing cannot be made up for */
        r->broken = true;
        if (!r->why)
            r->why = behind ? "slow reader" : "vanished";
    }
    pthread_mutex_unlock(&r->mu);
    if (st)
        atomic_store(&r->cancel, true);
    return st;
}

void wd_serve__stream_end(wd_req *r)
{
    pthread_mutex_lock(&r->mu);
    r->ended = true;
    wake(r);
    pthread_mutex_unlock(&r->mu);
}
