/* Any bytes as an entry of the list, a line's end, and a URL: what is let through has the entry's own scheme and host. */
#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>

#include "serve/allow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const fixed = "https://images.example/wado=10.0.0.0/8";
    char text[2048];
    wd_err err = { 0 };
    wd_allow *a;
    const wd_allow_entry *e;
    CURLU *u;
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    char *eol = strchr(text, '\n');
    const char *url = eol ? eol + 1 : text;
    if (eol)
        *eol = 0;
    const char *entry = text;
    if (eol && wd_allow_create(&entry, 1, &a, &err) == WD_OK) {
        if (wd_allow_find(a, url, &e, &u, &err) == WD_OK)
            curl_url_cleanup(u);
        wd_allow_destroy(a);
    } else if (eol) {
        must(err.text[0]);
    }
    must(wd_allow_create(&fixed, 1, &a, &err) == WD_OK);
    if (wd_allow_find(a, url, &e, &u, &err) == WD_OK) {
        char *host = NULL, *scheme = NULL, *path = NULL, *user = NULL;
        must(curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && !strcasecmp(host, "images.example"));
        must(curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && !strcmp(scheme, "https"));
        must(curl_url_get(u, CURLUPART_PATH, &path, 0) == CURLUE_OK && !strncmp(path, "/wado", 5));
        must(!strstr(path, "/../"));
        must(curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_OK);
        curl_free(host);
        curl_free(scheme);
        curl_free(path);
        curl_url_cleanup(u);
    } else {
        must(err.text[0]);
    }
    wd_allow_destroy(a);
    return 0;
}
