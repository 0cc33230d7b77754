#include "guard/receiver.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/file.h"
#include "support/test.h"

/* cmocka's checks end the thread that calls them, which may be the receiver's. */
static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "receiver: %s\n", what);
    abort();
}

#define OK(call) must((call) >= 0, #call)

/* ---- key and certificate ---- */

static void write_pem(const char *path, const gnutls_datum_t *pem)
{
    assert_ok(wd_file_write_secret(path, wd_span_of(pem->data, pem->size), &err));
}

static void make_certificate(receiver *r)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem;
    uint8_t print[32], serial = 1;
    size_t n = sizeof print;
    const time_t now = time(NULL);

    OK(gnutls_x509_privkey_init(&key));
    OK(gnutls_x509_privkey_generate(key, GNUTLS_PK_EC, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    OK(gnutls_x509_crt_init(&crt));
    OK(gnutls_x509_crt_set_version(crt, 3));
    OK(gnutls_x509_crt_set_serial(crt, &serial, 1));
    OK(gnutls_x509_crt_set_dn(crt, "CN=localhost", NULL));
    OK(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9, GNUTLS_FSAN_SET));
    OK(gnutls_x509_crt_set_basic_constraints(crt, 1, -1));
    OK(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_CERT_SIGN));
    OK(gnutls_x509_crt_set_activation_time(crt, now - 3600));
    OK(gnutls_x509_crt_set_expiration_time(crt, now + 86400));
    OK(gnutls_x509_crt_set_key(crt, key));
    OK(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0));
    OK(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
    write_pem(r->cert, &pem);
    gnutls_free(pem.data);
    OK(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem));
    write_pem(r->key, &pem);
    gnutls_free(pem.data);
    OK(gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, print, &n));
    char *to = r->fingerprint + snprintf(r->fingerprint, sizeof r->fingerprint, "sha-256");
    for (size_t i = 0; i < n; i++)
        to += snprintf(to, 4, ":%02X", print[i]);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

/* ---- a connection ---- */

static void put(receiver_text *t, const void *bytes, size_t n)
{
    t->p = realloc(t->p, t->n + n + 1);
    must(t->p != NULL, "no memory");
    memcpy(t->p + t->n, bytes, n);
    t->n += n;
    t->p[t->n] = 0;
}

/* Keeps the whole messages of a connection: LEN SP MSG, from its first byte on. What is no such frame fails the test. */
static void keep(receiver *r, const receiver_text *said)
{
    for (size_t at = 0; at < said->n;) {
        char *end;
        const char *p = said->p + at;
        const size_t left = said->n - at, n_digit = strspn(p, "0123456789");
        if (n_digit == left)
            break;
        const size_t n = strtoul(p, &end, 10);
        must(n_digit && *p != '0' && *end == ' ', "what came is no frame");
        if (n_digit + 1 + n > left)
            break;
        put(&r->got, end + 1, n);
        put(&r->got, "\n", 1);
        at += n_digit + 1 + n;
    }
}

static void wait_released(receiver *r)
{
    pthread_mutex_lock(&r->mu);
    while (!r->released)
        pthread_cond_wait(&r->changed, &r->mu);
    pthread_mutex_unlock(&r->mu);
}

static void serve_tls(receiver *r, gnutls_session_t tls, int fd, receiver_way way, size_t after)
{
    receiver_text said = { 0 };
    char part[4096];
    ssize_t n = 1;
    const bool cut = way == RECEIVER_DIES || way == RECEIVER_RESETS || way == RECEIVER_SHUTS;

    if (way == RECEIVER_HALF) {
        gnutls_bye(tls, GNUTLS_SHUT_WR);
        shutdown(fd, SHUT_WR);
    }
    if (way == RECEIVER_STALLS || way == RECEIVER_HALF)
        wait_released(r);
    while (!(cut && said.n >= after)) {
        n = gnutls_record_recv(tls, part, cut ? WD_MIN(sizeof part, after - said.n) : sizeof part);
        if (n <= 0)
            break;
        put(&said, part, (size_t)n);
    }
    pthread_mutex_lock(&r->mu);
    keep(r, &said);
    void (*before)(void *) = n == 0 ? r->before_close : NULL;
    void *ctx = r->ctx;
    pthread_mutex_unlock(&r->mu);
    if (before)
        before(ctx);
    free(said.p);
    if (way == RECEIVER_GOOD || way == RECEIVER_WANTS || way == RECEIVER_SHUTS)
        gnutls_bye(tls, GNUTLS_SHUT_WR);
    if (way == RECEIVER_RESETS)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
}

static void serve_one(receiver *r, int fd, receiver_way way, size_t after)
{
    gnutls_certificate_credentials_t cred;
    gnutls_session_t tls;
    int rc;

    OK(gnutls_certificate_allocate_credentials(&cred));
    OK(gnutls_certificate_set_x509_key_file(cred, r->cert, r->key, GNUTLS_X509_FMT_PEM));
    OK(gnutls_certificate_set_x509_trust_file(cred, r->cert, GNUTLS_X509_FMT_PEM));
    OK(gnutls_init(&tls, GNUTLS_SERVER));
    OK(gnutls_set_default_priority(tls));
    OK(gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, cred));
    if (way == RECEIVER_WANTS) {
        gnutls_certificate_server_set_request(tls, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(tls, NULL, 0);
    }
    gnutls_transport_set_int(tls, fd);
    do
        rc = gnutls_handshake(tls);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    if (rc >= 0)
        serve_tls(r, tls, fd, way, after);
    else
        gnutls_alert_send_appropriate(tls, rc);
    gnutls_deinit(tls);
    gnutls_certificate_free_credentials(cred);
}

static void receive(void *self, int fd)
{
    receiver *r = self;

    pthread_mutex_lock(&r->mu);
    const receiver_way way = r->way;
    const size_t after = r->after;
    pthread_mutex_unlock(&r->mu);
    if (way != RECEIVER_HANGS_UP)
        serve_one(r, fd, way, after);
    close(fd);
}

/* ---- from outside ---- */

void receiver_again(receiver *r)
{
    r->released = false;
    r->host.receive_bytes = r->small ? 4096 : 0;
    test_host_start(&r->host);
}

void receiver_start(receiver *r, const char *dir)
{
    *r = (receiver){ .dir = dir, .host = { .answer = receive, .self = r } };
    pthread_mutex_init(&r->mu, NULL);
    pthread_cond_init(&r->changed, NULL);
    assert_true(snprintf(r->cert, sizeof r->cert, "%s/log.pem", dir) < (int)sizeof r->cert);
    assert_true(snprintf(r->key, sizeof r->key, "%s/log.key", dir) < (int)sizeof r->key);
    make_certificate(r);
    receiver_again(r);
    snprintf(r->port, sizeof r->port, "%u", r->host.port);
}

void receiver_set(receiver *r, receiver_way way, size_t after)
{
    pthread_mutex_lock(&r->mu);
    r->way = way;
    r->after = after;
    r->released = false;
    pthread_mutex_unlock(&r->mu);
}

void receiver_release(receiver *r)
{
    pthread_mutex_lock(&r->mu);
    r->released = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mu);
}

void receiver_stop(receiver *r)
{
    receiver_release(r);
    test_host_stop(&r->host);
}

void receiver_end(receiver *r)
{
    receiver_stop(r);
    free(r->got.p);
    pthread_mutex_destroy(&r->mu);
    pthread_cond_destroy(&r->changed);
}

int64_t receiver_has(receiver *r)
{
    int64_t has = 0;

    pthread_mutex_lock(&r->mu);
    for (const char *line = r->got.p; line && *line; line = strchr(line, '\n') + 1) {
        const char *seq = strstr(line, "[ward@32473 seq=\""), *end = strchr(line, '\n');
        if (!seq || seq > end)
            fail_msg("a message without a number");
        if (strstr(line, " ward - checkpoint [") && strstr(line, " ward - checkpoint [") < end)
            continue;
        const int64_t n = strtoll(seq + 17, NULL, 10);
        if (n > has + 1)
            fail_msg("record %lld comes after record %lld", (long long)n, (long long)has);
        if (n == has + 1)
            has = n;
    }
    pthread_mutex_unlock(&r->mu);
    return has;
}
