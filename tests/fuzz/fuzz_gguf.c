/* The GGUF reader and all that is made of it on arbitrary bytes: what it accepts must hold what it promises. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "weights/gguf_open.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tensors(const wd_gguf *g, const uint8_t *data, size_t size)
{
    float values[256];
    for (size_t i = 0; i < g->n_tensor; i++) {
        const wd_gguf_tensor *t = &g->tensor[i];
        size_t count = 1;
        for (uint32_t k = 0; k < t->n_dim; k++)
            count *= t->dim[k];
        const size_t len = wd_ggml_block_len(t->type), bytes = wd_ggml_block_bytes(t->type);
        if (t->data < data || t->data > data + size || t->bytes > (size_t)(data + size - t->data) ||
            count / len * bytes != t->bytes || count % len || (i && t->data < t[-1].data + t[-1].bytes))
            abort(); /* leaves the file, is of another size than stated, or overlaps */
        wd_ggml_to_f32(t->type, t->data, values, len);
        wd_ggml_to_f32(t->type, t->data + t->bytes - bytes, values, len);
    }
}

static void read_values(const wd_gguf *g, wd_arena *a)
{
    wd_err err;
    for (size_t i = 0; i < g->n_pair; i++) {
        const wd_gguf_pair *p = &g->pair[i];
        wd_span s, *list;
        int64_t v;
        double x;
        bool b;
        size_t n;
        (void)!wd_gguf_str(g, p->key, &s, &err);
        (void)!wd_gguf_need_same_int(g, p->key, 0, 1 << 20, &v, &err);
        (void)!wd_gguf_num(g, p->key, 0, 1, 0, &x, &err);
        (void)!wd_gguf_bool(g, p->key, true, &b, &err);
        if (p->n)
            (void)wd_gguf_num_at(p, p->n - 1);
        if (wd_gguf_strings(g, p->key, a, &list, &n, &err) == WD_OK && n && list[n - 1].n)
            (void)*(volatile const uint8_t *)(list[n - 1].p + list[n - 1].n - 1);
    }
}

/* As a model: what opens must have every tensor that it lists. */
static void open_model(const uint8_t *data, size_t size)
{
    static char path[64];
    static int fd = -1;
    wd_gguf_set *s = NULL;
    wd_weights *w = NULL;
    wd_model_config c;
    wd_err err;
    if (fd < 0) {
        wd_json_use_our_memory();
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
        return;
    if (!wd_gguf_set_open(path, NULL, &s, &err) && !wd_gguf_config(s, &c, &err) &&
        !wd_weights_open_gguf(s, &c, &w, &err))
        for (size_t i = 0; i < wd_weights_count(w); i++) {
            const char *name;
            wd_tensor t, got;
            wd_weights_at(w, i, &name, NULL, NULL, &t, NULL);
            if (wd_weights_get(w, name, t.dim, t.n_dim, &got, &err) == WD_OK)
                (void)wd_tensor_get(&got, wd_tensor_count(&got) - 1);
        }
    wd_weights_close(w);
    wd_gguf_set_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wd_gguf g;
    wd_err err;
    wd_arena *a = wd_arena_create(64u << 20, false);
    if (a && !wd_gguf_parse(wd_span_of(data, size), "fuzz", a, &g, &err)) {
        check_tensors(&g, data, size);
        read_values(&g, a);
        wd_span arch;
        if (!wd_gguf_str(&g, "general.architecture", &arch, &err) && arch.n)
            open_model(data, size);
    }
    wd_arena_destroy(a);
    return 0;
}
