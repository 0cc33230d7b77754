/* The list of places. */
#include "serve/allow.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#define NETS_MAX 8
#define ENTRY_MAX 1024 /* bytes of an entry */
#define URL_MAX 8192

/* IPv4 as ::ffff:a.b.c.d, with 96 bits more. */
typedef struct net {
    uint8_t base[16];
    unsigned bits;
} net;

struct wd_allow_entry {
    char *scheme, *host, *path; /* path: without '/' at its end; "" for all */
    unsigned port;
    net net[NETS_MAX]; /* [n_net]; none: public addresses */
    size_t n_net;
};

struct wd_allow {
    wd_allow_entry *entry; /* [n] */
    size_t n;
};

/* What is not of the public Internet: IANA's special-purpose registries (RFC 6890 and its updates), multicast, and what
 * carries an IPv4 address inside. Of IPv6 only 2000::/3 is given out at all. */
static const struct {
    const char *base;
    unsigned bits;
} special[] = {
    { "0.0.0.0", 8 },      { "10.0.0.0", 8 },     { "100.64.0.0", 10 }, { "127.0.0.0", 8 },
    { "169.254.0.0", 16 }, { "172.16.0.0", 12 },  { "192.0.0.0", 24 },  { "192.0.2.0", 24 },
    { "192.88.99.0", 24 }, { "192.168.0.0", 16 }, { "198.18.0.0", 15 }, { "198.51.100.0", 24 },
    { "203.0.113.0", 24 }, { "224.0.0.0", 3 },    { "2001::", 23 },     { "2001:db8::", 32 },
    { "2002::", 16 },      { "3fff::", 20 },
};

/* --- addresses --------------------------------------------------------------------------------------------- */

static bool read_address(const char *text, uint8_t out[16], bool *four)
{
    struct in_addr v4;
    struct in6_addr v6;
    *four = inet_pton(AF_INET, text, &v4) == 1;
    if (*four) {
        memset(out, 0, 10);
        memset(out + 10, 0xff, 2);
        memcpy(out + 12, &v4, 4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return false;
    memcpy(out, v6.s6_addr, 16);
    return true;
}

static bool within(const uint8_t a[16], const uint8_t base[16], unsigned bits)
{
    const unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, base, whole) != 0)
        return false;
    return !rest || (a[whole] ^ base[whole]) >> (8 - rest) == 0;
}

static bool is_four(const uint8_t a[16])
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    return memcmp(a, mapped, sizeof mapped) == 0;
}

static bool is_public(const uint8_t a[16])
{
    if (!is_four(a) && a[0] >> 5 != 1)
        return false;
    for (size_t i = 0; i < WD_COUNT(special); i++) {
        uint8_t base[16];
        bool four;
        if (read_address(special[i].base, base, &four) && within(a, base, special[i].bits + (four ? 96 : 0)))
            return false;
    }
    return true;
}

bool wd_allow_address(const wd_allow_entry *e, const struct sockaddr *sa)
{
    uint8_t a[16] = { 0 };
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, sa, sizeof four);
        memset(a + 10, 0xff, 2);
        memcpy(a + 12, &four.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, sa, sizeof six);
        memcpy(a, six.sin6_addr.s6_addr, 16);
    } else {
        return false;
    }
    if (!e->n_net)
        return is_public(a);
    for (size_t i = 0; i < e->n_net; i++)
        if (within(a, e->net[i].base, e->net[i].bits))
            return true;
    return false;
}

/* --- URLs -------------------------------------------------------------------------------------------------- */

typedef struct place {
    char *scheme, *host, *port, *path; /* libcurl's */
} place;

static void place_free(place *p)
{
    curl_free(p->scheme);
    curl_free(p->host);
    curl_free(p->port);
    curl_free(p->path);
    *p = (place){ 0 };
}

static bool take_apart(const char *url, CURLU **u, place *p)
{
    *p = (place){ 0 };
    *u = curl_url();
    return *u && curl_url_set(*u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
           curl_url_get(*u, CURLUPART_SCHEME, &p->scheme, 0) == CURLUE_OK &&
           (!strcmp(p->scheme, "http") || !strcmp(p->scheme, "https")) &&
           curl_url_get(*u, CURLUPART_HOST, &p->host, 0) == CURLUE_OK && p->host[0] &&
           curl_url_get(*u, CURLUPART_PORT, &p->port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
           curl_url_get(*u, CURLUPART_PATH, &p->path, 0) == CURLUE_OK;
}

/* Below a path: not where a server might read "..", "/" or "\" into what libcurl leaves as it is. */
static bool is_below(const char *path, const char *top)
{
    const size_t n = strlen(top);
    if (!n)
        return true;
    return !strncmp(path, top, n) && (path[n] == 0 || path[n] == '/') && !strcasestr(path, "%2e") &&
           !strcasestr(path, "%2f") && !strcasestr(path, "%5c") && !strchr(path, '\\');
}

static bool covers(const wd_allow_entry *e, const place *p)
{
    return !strcmp(e->scheme, p->scheme) && !strcasecmp(e->host, p->host) &&
           e->port == strtoul(p->port, NULL, 10) && is_below(p->path, e->path);
}

wd_status wd_allow_find(const wd_allow *a, const char *url, const wd_allow_entry **out, CURLU **parsed,
                        wd_err *err)
{
    CURLU *u = NULL;
    place p = { 0 };
    wd_status st = WD_OK;
    *out = NULL;
    if (strlen(url) > URL_MAX || !take_apart(url, &u, &p))
        st = WD_FAIL(err, WD_E_INVALID, "expected a URL of http or https, without a name and password");
    for (size_t i = 0; !st && !*out && i < a->n; i++)
        if (covers(&a->entry[i], &p))
            *out = &a->entry[i];
    if (!st && !*out)
        st = WD_FAIL(err, WD_E_DENIED, "this server fetches nothing from there");
    place_free(&p);
    if (st || !parsed) {
        curl_url_cleanup(u);
        u = NULL;
    }
    if (parsed)
        *parsed = u;
    return st;
}

/* --- entries ----------------------------------------------------------------------------------------------- */

/* "10.2.0.0/16", "10.2.0.7", "fd12::/48" */
static bool read_net(const char *text, net *out)
{
    char address[64];
    const char *slash = strchr(text, '/');
    const size_t n = slash ? (size_t)(slash - text) : strlen(text);
    bool four;
    if (n >= sizeof address)
        return false;
    memcpy(address, text, n);
    address[n] = 0;
    if (!read_address(address, out->base, &four))
        return false;
    const unsigned most = four ? 32 : 128;
    unsigned long bits = most;
    if (slash) {
        char *end;
        bits = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end || bits > most)
            return false;
    }
    out->bits = (unsigned)bits + (four ? 96 : 0);
    return true;
}

/* "NET+NET": changed while it is read. */
static bool read_nets(char *list, wd_allow_entry *e)
{
    for (char *next = list; next;) {
        char *one = next, *plus = strchr(one, '+');
        next = plus ? plus + 1 : NULL;
        if (plus)
            *plus = 0;
        if (e->n_net == NETS_MAX || !read_net(one, &e->net[e->n_net]))
            return false;
        e->n_net++;
    }
    return true;
}

/* A host that is an address is that address and no other. */
static void own_net(wd_allow_entry *e)
{
    char text[64];
    const size_t n = strlen(e->host);
    const bool brackets = e->host[0] == '[';
    if (n >= sizeof text || n < 3)
        return;
    memcpy(text, e->host + brackets, n - 2 * brackets);
    text[n - 2 * brackets] = 0;
    if (!strchr(text, '/') && read_net(text, &e->net[0]))
        e->n_net = 1;
}

static wd_status fill(wd_allow_entry *e, char *text, wd_err *err, const char *as_given)
{
    CURLU *u = NULL;
    place p;
    char *eq = strrchr(text, '=');
    if (eq)
        *eq++ = 0;
    wd_status st = WD_OK;
    if (!take_apart(text, &u, &p) || strchr(text, '?') || strchr(text, '#') || (eq && !read_nets(eq, e)))
        st = WD_FAIL(err, WD_E_USAGE,
                     "allowed URL \"%.200s\": expected http://HOST[:PORT][/PATH] or https://..., and behind "
                     "\"=\" at most %d addresses or networks with '+' between them",
                     as_given, NETS_MAX);
    if (!st) {
        size_t n = strlen(p.path);
        while (n && p.path[n - 1] == '/')
            p.path[--n] = 0;
        e->scheme = wd_strdup(p.scheme);
        e->host = wd_strdup(p.host);
        e->path = wd_strdup(p.path);
        e->port = (unsigned)strtoul(p.port, NULL, 10);
        if (!e->scheme || !e->host || !e->path)
            st = WD_FAIL(err, WD_E_NOMEM, "allowed URLs: no memory");
        else if (!eq)
            own_net(e);
    }
    place_free(&p);
    curl_url_cleanup(u);
    return st;
}

wd_status wd_allow_create(const char *const *entry, size_t n, wd_allow **out, wd_err *err)
{
    *out = NULL;
    if (!n)
        return WD_OK;
    wd_allow *a = WD_ALLOC(wd_allow);
    if (!a || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        wd_free(a);
        return WD_FAIL(err, WD_E_NOMEM, "allowed URLs: no memory");
    }
    a->entry = WD_ALLOC_N(wd_allow_entry, n);
    wd_status st = a->entry ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "allowed URLs: no memory");
    for (size_t i = 0; !st && i < n; i++) {
        char text[ENTRY_MAX];
        snprintf(text, sizeof text, "%s", entry[i]);
        a->n++;
        st = strlen(entry[i]) < sizeof text
                 ? fill(&a->entry[i], text, err, entry[i])
                 : WD_FAIL(err, WD_E_USAGE, "allowed URL \"%.40s...\": more than %d bytes", entry[i],
                           ENTRY_MAX);
    }
    if (st) {
        wd_allow_destroy(a);
        return st;
    }
    *out = a;
    return WD_OK;
}

void wd_allow_destroy(wd_allow *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++) {
        wd_free(a->entry[i].scheme);
        wd_free(a->entry[i].host);
        wd_free(a->entry[i].path);
    }
    wd_free(a->entry);
    wd_free(a);
}
