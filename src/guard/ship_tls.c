/* TLS to a log server, with GnuTLS, which libmicrohttpd brings along anyway.
 *
 * When is everything read? RFC 5425 has the receiver answer our close_notify with its own, but not all do (rsyslog's gtls
 * driver just closes), and one that is being stopped may send it unasked. What counts is therefore the end of the TCP
 * connection: all our bytes and our end acknowledged, the other's end received, no reset. A process that dies or closes with
 * bytes unread makes its system send a reset (RFC 2525, section 2.17), and so do bytes that come after it has closed. */
#include "guard/ship_tls.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <linux/sockios.h>

#include "base/clock.h"

#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define SLICE_MS 100    /* between looks at the cancel flag */
#define GRACE_MS 2000   /* for a connection under way when it rises */
#define HEARD_MAX 65536 /* bytes that a receiver may say: it has nothing to */

struct wd_tls_out {
    const wd_ship_opts *o;
    gnutls_certificate_credentials_t cred;
    gnutls_session_t tls;
    int fd;
    bool has_fingerprint;
    uint8_t fingerprint[WD_FINGERPRINT_BYTES];
    uint64_t until_ns;     /* of the present step */
    uint64_t cancelled_ns; /* 0: the flag was not seen up */
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

bool wd_fingerprint_parse(const char *text, uint8_t out[WD_FINGERPRINT_BYTES])
{
    if (strncmp(text, "sha-256:", 8) != 0)
        return false;
    text += 8;
    for (size_t i = 0; i < WD_FINGERPRINT_BYTES; i++, text += 2) {
        if (i && *text++ != ':')
            return false;
        const int hi = hex_digit(text[0]), lo = hi < 0 ? -1 : hex_digit(text[1]);
        if (lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return !*text;
}

/* ---- waiting ---- */

static void begin_step(wd_tls_out *t)
{
    t->until_ns = wd_clock_ns() + (uint64_t)t->o->timeout_ms * 1000000;
}

/* Until the socket is ready for `events`, or 0: for a moment. */
static wd_status wait_for(wd_tls_out *t, short events, const char *what, wd_err *err)
{
    struct pollfd p = { .fd = t->fd, .events = events };

    for (;;) {
        const uint64_t now = wd_clock_ns();
        if (t->o->cancel && atomic_load(t->o->cancel) && !t->cancelled_ns)
            t->cancelled_ns = now;
        if (t->cancelled_ns && now > t->cancelled_ns + (uint64_t)GRACE_MS * 1000000)
            return WD_FAIL(err, WD_E_CANCELLED, "interrupted");
        if (now > t->until_ns)
            return WD_FAIL(err, WD_E_DEADLINE, "%s: %s took more than %u ms", t->o->host, what,
                           t->o->timeout_ms);
        if (poll(&p, events ? 1 : 0, events ? SLICE_MS : 5) > 0 || !events)
            return WD_OK;
    }
}

/* ---- what GnuTLS says ---- */

static wd_status fail_alert(const wd_tls_out *t, wd_err *err)
{
    const gnutls_alert_description_t a = gnutls_alert_get(t->tls);
    const char *name = gnutls_alert_get_name(a);
    const bool ours = a == GNUTLS_A_BAD_CERTIFICATE || a == GNUTLS_A_UNSUPPORTED_CERTIFICATE ||
                      a == GNUTLS_A_CERTIFICATE_REVOKED || a == GNUTLS_A_CERTIFICATE_EXPIRED ||
                      a == GNUTLS_A_CERTIFICATE_UNKNOWN || a == GNUTLS_A_UNKNOWN_CA ||
                      a == GNUTLS_A_ACCESS_DENIED || a == GNUTLS_A_CERTIFICATE_REQUIRED;

    return WD_FAIL(err, ours ? WD_E_AUTH : WD_E_IO, "%s: the receiver refused the connection: %s", t->o->host,
                   name ? name : "an alert without a name");
}

static wd_status fail_verify(const wd_tls_out *t, wd_err *err)
{
    gnutls_datum_t why = { 0 };

    if (t->has_fingerprint)
        return WD_FAIL(err, WD_E_AUTH, "%s: the receiver's certificate has another fingerprint", t->o->host);
    if (gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(t->tls),
                                                     GNUTLS_CRT_X509, &why, 0) < 0)
        why.data = NULL;
    const wd_status st = WD_FAIL(err, WD_E_AUTH, "%s: the receiver's certificate does not count: %s",
                                 t->o->host, why.data ? (const char *)why.data : "no reason given");
    gnutls_free(why.data);
    return st;
}

static wd_status fail_tls(const wd_tls_out *t, const char *doing, int rc, wd_err *err)
{
    if (rc == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR || rc == GNUTLS_E_CERTIFICATE_ERROR)
        return fail_verify(t, err);
    if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED || rc == GNUTLS_E_WARNING_ALERT_RECEIVED)
        return fail_alert(t, err);
    if (rc == GNUTLS_E_MEMORY_ERROR)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for TLS", t->o->host);
    if (rc == GNUTLS_E_PUSH_ERROR || rc == GNUTLS_E_PULL_ERROR || rc == GNUTLS_E_PREMATURE_TERMINATION)
        return WD_FAIL(err, WD_E_IO, "%s: the receiver broke off the connection in %s", t->o->host, doing);
    return WD_FAIL(err, WD_E_IO, "%s: TLS failed in %s: %s", t->o->host, doing, gnutls_strerror(rc));
}

static bool again(int rc)
{
    return rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED;
}

static short direction(const wd_tls_out *t)
{
    return gnutls_record_get_direction(t->tls) ? POLLOUT : POLLIN;
}

/* ---- opening ---- */

static wd_status connect_one(wd_tls_out *t, const struct addrinfo *a, wd_err *err)
{
    int e = 0;
    socklen_t n = sizeof e;

    t->fd = wd_inject_here() ? (errno = EMFILE, -1)
                             : socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0)
        return WD_FAIL(err, WD_E_IO, "%s: no socket: %s", t->o->host, strerror(errno));
    begin_step(t);
    if (connect(t->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
        e = errno;
    if (!e) {
        WD_TRY(wait_for(t, POLLOUT, "connecting", err));
        if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
            e = errno;
    }
    if (e)
        return WD_FAIL(err, WD_E_IO, "%s port %s: cannot connect: %s", t->o->host, t->o->port, strerror(e));
    return WD_OK;
}

/* Each address in turn; the last one's failure is the one that is told. */
static wd_status connect_any(wd_tls_out *t, wd_err *err)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *list = NULL;
    const int rc = getaddrinfo(t->o->host, t->o->port, &hints, &list);

    if (rc)
        return WD_FAIL(err, rc == EAI_MEMORY ? WD_E_NOMEM : WD_E_IO, "%s: no such host: %s", t->o->host,
                       gai_strerror(rc));
    wd_status st = WD_E_IO;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        if (t->fd >= 0)
            close(t->fd);
        t->fd = -1;
        st = connect_one(t, a, err);
        if (!st || st == WD_E_CANCELLED)
            break;
    }
    freeaddrinfo(list);
    return st;
}

static wd_status fail_file(const char *path, int rc, wd_err *err)
{
    if (rc == GNUTLS_E_FILE_ERROR)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: cannot be read", path);
    return WD_FAIL(err, WD_E_CORRUPT, "%s: expected PEM: %s", path, gnutls_strerror(rc));
}

static wd_status load(wd_tls_out *t, wd_err *err)
{
    const wd_ship_opts *o = t->o;
    int rc = wd_inject_here() ? GNUTLS_E_MEMORY_ERROR : gnutls_certificate_allocate_credentials(&t->cred);

    if (rc < 0)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for TLS", o->host);
    if (!o->fingerprint) {
        rc = o->ca ? gnutls_certificate_set_x509_trust_file(t->cred, o->ca, GNUTLS_X509_FMT_PEM)
                   : gnutls_certificate_set_x509_system_trust(t->cred);
        if (rc < 0 && o->ca)
            return fail_file(o->ca, rc, err);
        if (rc <= 0)
            return WD_FAIL(err, WD_E_NOT_FOUND, "%s: holds no certificates",
                           o->ca ? o->ca : "the system's list of authorities");
    }
    if (!o->cert)
        return WD_OK;
    rc = gnutls_certificate_set_x509_key_file(t->cred, o->cert, o->key, GNUTLS_X509_FMT_PEM);
    if (rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return WD_FAIL(err, WD_E_INVALID, "%s: is not the key of %s", o->key, o->cert);
    return rc < 0 ? fail_file(access(o->cert, R_OK) ? o->cert : o->key, rc, err) : WD_OK;
}

static int check_fingerprint(gnutls_session_t tls)
{
    const wd_tls_out *t = gnutls_session_get_ptr(tls);
    uint8_t have[WD_FINGERPRINT_BYTES];
    size_t n_have = sizeof have;
    unsigned n;
    const gnutls_datum_t *c = gnutls_certificate_get_peers(tls, &n);

    return c && n && gnutls_fingerprint(GNUTLS_DIG_SHA256, &c[0], have, &n_have) == 0 &&
                   n_have == sizeof have && memcmp(have, t->fingerprint, sizeof have) == 0
               ? 0
               : GNUTLS_E_CERTIFICATE_ERROR;
}

static bool is_address(const char *host)
{
    return strchr(host, ':') || strspn(host, "0123456789.") == strlen(host);
}

static wd_status set_up(wd_tls_out *t, wd_err *err)
{
    const char *name = t->o->name ? t->o->name : t->o->host;
    int rc = gnutls_init(&t->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

    if (rc >= 0)
        rc = gnutls_priority_set_direct(t->tls, PRIORITIES, NULL);
    if (rc >= 0)
        rc = gnutls_credentials_set(t->tls, GNUTLS_CRD_CERTIFICATE, t->cred);
    if (rc >= 0 && !is_address(name))
        rc = gnutls_server_name_set(t->tls, GNUTLS_NAME_DNS, name, strlen(name));
    if (rc < 0)
        return fail_tls(t, "its preparation", rc, err);
    gnutls_session_set_ptr(t->tls, t);
    if (t->has_fingerprint)
        gnutls_session_set_verify_function(t->tls, check_fingerprint);
    else
        gnutls_session_set_verify_cert(t->tls, name, 0);
    gnutls_transport_set_int(t->tls, t->fd);
    return WD_OK;
}

static wd_status shake_hands(wd_tls_out *t, wd_err *err)
{
    int rc;

    begin_step(t);
    while ((rc = wd_inject_here() ? GNUTLS_E_PULL_ERROR : gnutls_handshake(t->tls)) < 0) {
        if (!again(rc))
            return fail_tls(t, "the handshake", rc, err);
        WD_TRY(wait_for(t, direction(t), "the handshake", err));
    }
    return WD_OK;
}

static wd_status open_all(wd_tls_out *t, bool *trouble, wd_err *err)
{
    WD_TRY(load(t, err));
    *trouble = true;
    WD_TRY(connect_any(t, err));
    WD_TRY(set_up(t, err));
    return shake_hands(t, err);
}

wd_status wd_tls_out_open(const wd_ship_opts *o, wd_tls_out **out, bool *trouble, wd_err *err)
{
    *out = NULL;
    *trouble = false;
    wd_tls_out *t = WD_ALLOC(wd_tls_out);
    if (!t)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for a connection", o->host);
    t->o = o;
    t->fd = -1;
    t->has_fingerprint = o->fingerprint && wd_fingerprint_parse(o->fingerprint, t->fingerprint);
    const wd_status st = open_all(t, trouble, err);
    if (st) {
        wd_tls_out_close(t);
        return st;
    }
    *out = t;
    return WD_OK;
}

/* ---- writing ---- */

/* Why a write failed: an alert that has come explains more than the broken pipe after it. */
static wd_status fail_write(wd_tls_out *t, int rc, wd_err *err)
{
    char heard[256];
    ssize_t n = 1;

    for (int i = 0; i < 16 && n > 0; i++)
        n = gnutls_record_recv(t->tls, heard, sizeof heard);
    return fail_tls(t, "sending", n == GNUTLS_E_FATAL_ALERT_RECEIVED ? (int)n : rc, err);
}

wd_status wd_tls_out_write(wd_tls_out *t, wd_span bytes, wd_err *err)
{
    begin_step(t);
    for (size_t at = 0; at < bytes.n;) {
        const ssize_t n = wd_inject_here() ? GNUTLS_E_PUSH_ERROR
                                           : gnutls_record_send(t->tls, bytes.p + at, bytes.n - at);
        if (n >= 0) {
            at += (size_t)n;
            begin_step(t); /* each piece has its time: a slow receiver is none that has stopped */
            continue;
        }
        if (!again((int)n))
            return fail_write(t, (int)n, err);
        WD_TRY(wait_for(t, direction(t), "sending", err));
    }
    return WD_OK;
}

/* ---- the end ---- */

static wd_status say_end(wd_tls_out *t, wd_err *err)
{
    int rc;

    while ((rc = wd_inject_here() ? GNUTLS_E_PUSH_ERROR : gnutls_bye(t->tls, GNUTLS_SHUT_WR)) < 0) {
        if (!again(rc))
            return fail_write(t, rc, err);
        WD_TRY(wait_for(t, direction(t), "sending", err));
    }
    if (shutdown(t->fd, SHUT_WR) < 0)
        return WD_FAIL(err, WD_E_IO, "%s: the receiver broke off the connection at its end", t->o->host);
    return WD_OK;
}

/* Through its last TLS record: an alert here (TLS 1.3 refuses our certificate after the handshake) is a failure. */
static wd_status hear_tls_end(wd_tls_out *t, wd_err *err)
{
    char heard[1024];

    for (size_t n_heard = 0; n_heard <= HEARD_MAX;) {
        const ssize_t n = gnutls_record_recv(t->tls, heard, sizeof heard);
        if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION)
            return WD_OK;
        if (n > 0)
            n_heard += (size_t)n;
        else if (!again((int)n))
            return fail_tls(t, "waiting for its end", (int)n, err);
        else
            WD_TRY(wait_for(t, POLLIN, "the receiver's end of the connection", err));
    }
    return WD_FAIL(err, WD_E_IO, "%s: the receiver talks: it is no log server", t->o->host);
}

/* Through the end of the TCP stream. */
static wd_status hear_tcp_end(wd_tls_out *t, wd_err *err)
{
    char heard[1024];

    for (size_t n_heard = 0; n_heard <= HEARD_MAX;) {
        const ssize_t n = recv(t->fd, heard, sizeof heard, 0);
        if (n == 0)
            return WD_OK;
        if (n > 0)
            n_heard += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            return WD_FAIL(err, WD_E_IO, "%s: the receiver broke off the connection before its end: %s",
                           t->o->host, strerror(errno));
        else
            WD_TRY(wait_for(t, POLLIN, "the receiver's end of the connection", err));
    }
    return WD_FAIL(err, WD_E_IO, "%s: the receiver talks: it is no log server", t->o->host);
}

/* Both ends are said; until ours is acknowledged, the other side may still turn out not to have read it. */
static wd_status hear_acknowledged(wd_tls_out *t, wd_err *err)
{
    for (;;) {
        struct tcp_info info;
        socklen_t n_info = sizeof info, n_e = sizeof(int);
        int e = 0, unacknowledged = 0;
        if (getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &n_info) < 0 ||
            ioctl(t->fd, SIOCOUTQ, &unacknowledged) < 0 ||
            getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &e, &n_e) < 0)
            return WD_FAIL(err, WD_E_IO, "%s: cannot see how the connection ended: %s", t->o->host,
                           strerror(errno));
        if (e || (info.tcpi_state == TCP_CLOSE && unacknowledged))
            return WD_FAIL(err, WD_E_IO,
                           "%s: the receiver closed the connection before it had read everything",
                           t->o->host);
        if (info.tcpi_state == TCP_CLOSE) /* also what getsockopt says of TIME_WAIT */
            return WD_OK;
        WD_TRY(wait_for(t, 0, "the receiver's acknowledgement", err));
    }
}

wd_status wd_tls_out_finish(wd_tls_out *t, wd_err *err)
{
    begin_step(t);
    WD_TRY(say_end(t, err));
    WD_TRY(hear_tls_end(t, err));
    WD_TRY(hear_tcp_end(t, err));
    return hear_acknowledged(t, err);
}

void wd_tls_out_close(wd_tls_out *t)
{
    if (!t)
        return;
    if (t->tls)
        gnutls_deinit(t->tls);
    if (t->cred)
        gnutls_certificate_free_credentials(t->cred);
    if (t->fd >= 0)
        close(t->fd);
    wd_free(t);
}
