/* A checkpoint's file from arbitrary bytes, through everything that quantised weights do with it: parts put together, packed
 * words unpacked, matrices quantised. Every tensor that is left is read at both ends. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "tensor/quant.h"
#include "weights/packed.h"
#include "weights/quantise.h"

#define MOST ((size_t)1 << 20) /* weights that are worth the time */

static const char config_text[] =
    "{\"model_type\":\"qwen3\",\"vocab_size\":16,\"hidden_size\":32,\"intermediate_size\":64,"
    "\"num_hidden_layers\":1,\"num_attention_heads\":1,\"num_key_value_heads\":1,\"head_dim\":32,"
    "\"rope_theta\":1e6,\"max_position_embeddings\":64}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *folder(void)
{
    static char dir[] = "/tmp/ward-fuzz-XXXXXX";
    static bool made;
    if (!made && !mkdtemp(dir))
        abort();
    made = true;
    return dir;
}

static void look(const wd_weights *w)
{
    for (size_t i = 0; i < wd_weights_count(w); i++) {
        wd_tensor t;
        wd_weights_at(w, i, NULL, NULL, NULL, &t, NULL);
        const size_t n = wd_tensor_count(&t);
        if (!n)
            continue;
        (void)wd_tensor_get(&t, 0);
        (void)wd_tensor_get(&t, n / 2);
        (void)wd_tensor_get(&t, n - 1);
        if (wd_quant_is(t.dtype) &&
            (!wd_quant_group_is_good(t.group) || !t.scale || t.n_dim < 2 || wd_tensor_bytes(&t) < n / 2))
            abort();
    }
}

static size_t weights_in(const wd_weights *w)
{
    size_t n = 0;
    for (size_t i = 0; i < wd_weights_count(w); i++) {
        wd_tensor t;
        wd_weights_at(w, i, NULL, NULL, NULL, &t, NULL);
        n += wd_tensor_count(&t);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    wd_err err;
    wd_weights *w;
    wd_model_config c;
    wd_log_set_level(WD_LOG_ERROR);
    if (wd_config_parse(WD_SPAN_LIT(config_text), "config", &c, &err))
        abort();
    snprintf(path, sizeof path, "%s/model.safetensors", folder());
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
    for (int round = 0; round < 5; round++) {
        c.packing = round < 4 ? (wd_packing)round : WD_PACKING_GPTQ;
        c.packed_bits = round == 4 ? 8 : 4;
        c.packed_group = round == 2 ? 0 : 32;
        c.text.tied = round % 2;
        if (wd_weights_open(folder(), &w, &err))
            break;
        look(w);
        const wd_quantise_opts o = { .type = round % 2 ? WD_DTYPE_W8 : WD_DTYPE_W4, .group = 64 };
        if (weights_in(w) < MOST && !wd_weights_unpack(w, &c, NULL, &err)) {
            look(w);
            if (!wd_weights_quantise(w, &c, &o, NULL, &err))
                look(w);
        }
        wd_weights_close(w);
    }
    unlink(path);
    return 0;
}
