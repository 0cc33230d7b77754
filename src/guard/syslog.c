/* RFC 5424. */
#include "guard/syslog.h"

#include <unistd.h>

#include "guard/chain.h"

/* The number that RFC 5612 keeps for examples: Ward has none of its own. */
#define SD_ID "ward@32473"
#define FACILITY 13

void wd_syslog_host(char out[256])
{
    if (gethostname(out, 256) < 0)
        *out = 0;
    out[255] = 0;
    for (char *p = out; *p; p++)
        if (*p <= ' ' || *p > '~')
            *p = '_';
    if (!*out)
        memcpy(out, "-", 2);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* A parameter of structured data: '"', '\' and ']' take a '\' before them (section 6.3.3). */
static void put_param(wd_buf *b, const char *key, const json_t *v)
{
    wd_buf_printf(b, " %s=\"", key);
    if (json_is_integer(v))
        wd_buf_printf(b, "%lld", (long long)json_integer_value(v));
    for (const char *p = json_is_string(v) ? json_string_value(v) : ""; *p; p++) {
        if (strchr("\"\\]", *p))
            wd_buf_char(b, '\\');
        wd_buf_char(b, *p);
    }
    wd_buf_char(b, '"');
}

void wd_syslog_put_record(const json_t *o, const char *host, wd_buf *out)
{
    const char *outcome = text_of(o, "outcome"), *action = text_of(o, "action");
    const bool warn = !strcmp(outcome, "refused") || !strcmp(outcome, "failed") ||
                      !strcmp(outcome, "interrupted");
    const char *key;
    json_t *v;

    wd_buf_printf(out, "<%d>1 %s %s ward - %.32s [" SD_ID, FACILITY * 8 + (warn ? 4 : 6), text_of(o, "time"),
                  host, *action ? action : "-");
    json_object_foreach((json_t *)(uintptr_t)o, key, v) if (strcmp(key, "time") != 0) put_param(out, key, v);
    wd_buf_char(out, ']');
}

void wd_syslog_put_checkpoint(int64_t seq, wd_span hash, const char *time, wd_span sig, const char *host,
                              wd_buf *out)
{
    wd_buf_printf(out, "<%d>1 %s %s ward - checkpoint [" SD_ID " seq=\"%lld\"] ", FACILITY * 8 + 6, time,
                  host, (long long)seq);
    wd_chain_put_checkpoint(seq, hash, time, sig, out);
}
