/* Checkpoints made on the spot. */
#include "support/checkpoint.h"

#include "support/test.h"

static void put_prefix(wd_buf *out, uint64_t n)
{
    for (int i = 0; i < 8; i++)
        wd_buf_char(out, (char)(n >> (8 * i) & 0xff));
}

void test_st_raw(wd_buf *out, const char *header, size_t data_bytes)
{
    put_prefix(out, strlen(header));
    wd_buf_str(out, header);
    for (size_t i = 0; i < data_bytes; i++)
        wd_buf_char(out, (char)(i & 0x3f));
    assert_ok(wd_buf_check(out, "safetensors", &err));
}

static size_t element_bytes(const char *dtype)
{
    if (strstr(dtype, "64"))
        return 8;
    if (strstr(dtype, "32"))
        return 4;
    return strstr(dtype, "16") ? 2 : 1;
}

void test_st_file(wd_buf *out, const test_tensor *t, size_t n)
{
    wd_buf head = { 0 };
    size_t at = 0;
    wd_buf_char(&head, '{');
    for (size_t i = 0; i < n; i++) {
        size_t bytes = element_bytes(t[i].dtype);
        wd_buf_printf(&head, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", t[i].name, t[i].dtype);
        for (size_t k = 0; k < 5 && t[i].dim[k]; k++) {
            wd_buf_printf(&head, "%s%zu", k ? "," : "", t[i].dim[k]);
            bytes *= t[i].dim[k];
        }
        wd_buf_printf(&head, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        at += bytes;
    }
    wd_buf_char(&head, '}');
    while (head.n % 8)
        wd_buf_char(&head, ' ');
    assert_ok(wd_buf_check(&head, "header", &err));
    test_st_raw(out, (const char *)head.p, at);
    wd_buf_free(&head);
}

void test_write_st(const char *dir, const char *name, const test_tensor *t, size_t n)
{
    wd_buf file = { 0 };
    test_st_file(&file, t, n);
    test_write(dir, name, file.p, file.n);
    wd_buf_free(&file);
}

void test_write_text(const char *dir, const char *name, const char *text)
{
    test_write(dir, name, text, strlen(text));
}
