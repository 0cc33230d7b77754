/* ward audit */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/trust.h"
#include "guard/audit.h"
#include "guard/ship.h"

#define LINES_MAX ((size_t)2 << 30)
#define STDIN_MAX ((size_t)64 << 20)

typedef struct options {
    const char *data, *db, *key, *anchors, *lines, *format;
    const char *subject, *action, *tenant, *outcome, *visit, *since, *until;
    const char *to, *name, *ca, *fingerprint, *cert, *cert_key;
    int64_t after, last, timeout_s;
    bool follow, json;
} options;

#define AT(field) offsetof(options, field)
static const wd_opt opts[] = {
    { "data", 0, WD_OPT_STR, AT(data), NULL, 0, 0, WD_TRUST_DATA_HELP },
    { "db", 0, WD_OPT_STR, AT(db), NULL, 0, 0, "verify: a copy of ward.db instead of a data directory" },
    { "lines", 0, WD_OPT_STR, AT(lines), NULL, 0, 0, "verify: an export instead of a database" },
    { "key", 'k', WD_OPT_STR, AT(key), NULL, 0, 0,
      "verify: the public key; else audit.pub of the data directory" },
    { "anchors", 0, WD_OPT_STR, AT(anchors), NULL, 0, 0,
      "verify: signed checkpoints; else audit.anchors of the data directory" },
    { "format", 'f', WD_OPT_STR, AT(format), "json", 0, 0,
      "export: json (lines that verify takes) or syslog (RFC 5424)" },
    { "subject", 's', WD_OPT_STR, AT(subject), NULL, 0, 0,
      "list, export: only of user:NAME, key:ID or local:NAME" },
    { "action", 'a', WD_OPT_STR, AT(action), NULL, 0, 0,
      "list, export: only this action, such as chat.create" },
    { "tenant", 't', WD_OPT_STR, AT(tenant), NULL, 0, 0, "list, export: only this tenant's" },
    { "outcome", 'o', WD_OPT_STR, AT(outcome), NULL, 0, 0,
      "list, export: done, invalid, refused, cancelled, failed or interrupted" },
    { "visit", 0, WD_OPT_STR, AT(visit), NULL, 0, 0, "list, export: only this request's (its x-request-id)" },
    { "since", 0, WD_OPT_STR, AT(since), NULL, 0, 0,
      "list, export: from this date or time on, such as 2026-01-31" },
    { "until", 0, WD_OPT_STR, AT(until), NULL, 0, 0, "list, export: before this date or time" },
    { "after", 0, WD_OPT_INT, AT(after), "0", 0, 9e15, "list, export: only records with a higher number" },
    { "last", 'n', WD_OPT_INT, AT(last), "0", 0, 100000,
      "list, export: only the newest so many; list: 50 when not given" },
    { "to", 0, WD_OPT_STR, AT(to), NULL, 0, 0,
      "ship: HOST or HOST:PORT of the log server; port 6514 when not given" },
    { "ca", 0, WD_OPT_STR, AT(ca), NULL, 0, 0,
      "ship: authorities of its certificate, PEM; else the system's" },
    { "name", 0, WD_OPT_STR, AT(name), NULL, 0, 0, "ship: name in its certificate; else HOST" },
    { "fingerprint", 0, WD_OPT_STR, AT(fingerprint), NULL, 0, 0,
      "ship: its certificate's, sha-256:AB:CD:...; instead of --ca and --name" },
    { "cert", 0, WD_OPT_STR, AT(cert), NULL, 0, 0, "ship: our certificate, PEM, where it asks who sends" },
    { "cert-key", 0, WD_OPT_STR, AT(cert_key), NULL, 0, 0, "ship: its private key, PEM" },
    { "timeout-s", 0, WD_OPT_INT, AT(timeout_s), "30", 1, 3600, "ship: for each step of a connection" },
    { "follow", 0, WD_OPT_BOOL, AT(follow), "false", 0, 0,
      "ship: go on with what is recorded later, also when the log server is away, until SIGTERM or Ctrl-C" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "machine-readable output" },
};

static wd_audit_filter filter_of(const options *o)
{
    return (wd_audit_filter){ o->subject, o->action, o->tenant, o->outcome,       o->visit,
                              o->since,   o->until,  o->after,  (uint64_t)o->last };
}

/* ---- verify ---- */

static json_t *report_json(const wd_audit_report *r)
{
    json_t *findings = json_array();

    for (uint64_t i = 0; i < r->n_finding && i < WD_AUDIT_MAX_FINDINGS; i++)
        wd_json_append(&findings, json_string(r->finding[i]));
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:I, s:o}", "unchanged", r->n_finding == 0,
                     "first", (json_int_t)r->first, "last", (json_int_t)r->last, "records",
                     (json_int_t)r->n_record, "checkpoints", (json_int_t)r->n_checkpoint, "anchors",
                     (json_int_t)r->n_anchor, "signed_end", r->head, "last_digest", r->head_hash,
                     "findings_total", (json_int_t)r->n_finding, "findings", findings);
}

static wd_status report_text(const wd_audit_report *r, wd_err *err)
{
    wd_buf b = { 0 };

    wd_buf_printf(&b, "records %lld to %lld, %llu checkpoints, %llu anchors%s\n", (long long)r->first,
                  (long long)r->last, (unsigned long long)r->n_checkpoint, (unsigned long long)r->n_anchor,
                  r->head ? ", a signed end" : "");
    if (r->n_torn)
        wd_buf_printf(&b,
                      "%llu lines of the anchors are no whole checkpoints: cut off in writing, or damaged\n",
                      (unsigned long long)r->n_torn);
    for (uint64_t i = 0; i < r->n_finding && i < WD_AUDIT_MAX_FINDINGS; i++)
        wd_buf_printf(&b, "%s\n", r->finding[i]);
    if (r->n_finding > WD_AUDIT_MAX_FINDINGS)
        wd_buf_printf(&b, "and %llu more\n", (unsigned long long)r->n_finding - WD_AUDIT_MAX_FINDINGS);
    if (r->n_finding == 0)
        wd_buf_printf(&b, "nothing was changed; record %lld has digest %s\n", (long long)r->last,
                      r->head_hash);
    wd_status st = wd_buf_check(&b, "report", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

/* A file of the data directory, unless another was given. NULL in *out: neither. */
static wd_status beside(wd_cli *cli, const options *o, const char *given, const char *name, const char **out,
                        wd_err *err)
{
    const char *dir;

    *out = given;
    if (given || ((o->db || o->lines) && !o->data))
        return WD_OK;
    WD_TRY(wd_trust_dir(cli, o->data, &dir, err));
    *out = wd_path_join(cli->arena, dir, name);
    return *out ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "no memory for a path");
}

static wd_status verify_lines(const options *o, const wd_public_key *key, const char *anchors,
                              wd_audit_report *r, wd_err *err)
{
    wd_mapped text = { 0 }, signed_ones = { 0 };

    wd_status st = wd_file_map(o->lines, &text, err);
    if (!st && text.n > LINES_MAX)
        st = WD_FAIL(err, WD_E_LIMIT, "%s: more than 2 GiB; export in parts, with --after", o->lines);
    if (!st && anchors)
        st = wd_file_map(anchors, &signed_ones, err);
    if (!st)
        st = wd_audit_verify_lines(wd_span_of(text.p, text.n), key, wd_span_of(signed_ones.p, signed_ones.n),
                                   r, err);
    wd_file_unmap(&text);
    wd_file_unmap(&signed_ones);
    return st;
}

static wd_status verify(wd_cli *cli, const options *o, wd_err *err)
{
    const char *key_path, *db, *anchors;
    wd_public_key key;
    wd_audit_report r;

    if (o->db && o->lines)
        return WD_FAIL(err, WD_E_USAGE, "--db does not go with --lines");
    WD_TRY(beside(cli, o, o->key, "audit.pub", &key_path, err));
    WD_TRY(beside(cli, o, o->db, "ward.db", &db, err));
    WD_TRY(beside(cli, o, o->anchors, "audit.anchors", &anchors, err));
    if (!key_path)
        return WD_FAIL(err, WD_E_USAGE, "verifying a copy needs the public key: --key FILE");
    if (o->anchors && !wd_file_exists(o->anchors))
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: there is no such file", o->anchors);
    WD_TRY(wd_public_key_read(key_path, &key, err));
    WD_TRY(o->lines ? verify_lines(o, &key, o->anchors, &r, err)
                    : wd_audit_verify(db, &key, anchors, &r, err));
    cli->printed = o->json;
    WD_TRY(o->json ? wd_cli_print_json(report_json(&r), err) : report_text(&r, err));
    if (r.n_finding)
        return WD_FAIL(err, WD_E_CORRUPT, "the audit is not as it was written: %llu findings",
                       (unsigned long long)r.n_finding);
    return WD_OK;
}

/* ---- the rest ---- */

static wd_status print_line(void *ctx, wd_span line, wd_err *err)
{
    (void)ctx;
    if (fwrite(line.p, 1, line.n, stdout) != line.n || putchar('\n') == EOF)
        return WD_FAIL(err, WD_E_IO, "standard output: cannot write: %s", strerror(errno));
    return atomic_load(&wd_cli_cancelled) ? WD_FAIL(err, WD_E_CANCELLED, "interrupted") : WD_OK;
}

static wd_status export(wd_guard *g, const wd_identity *me, const options *o, wd_err *err)
{
    const wd_audit_filter f = filter_of(o);
    const bool syslog = !strcmp(o->format, "syslog");

    if (!syslog && strcmp(o->format, "json") != 0)
        return WD_FAIL(err, WD_E_USAGE, "--format: \"%s\", expected json or syslog", o->format);
    WD_TRY(
        wd_audit_export(g, me, &f, syslog ? WD_AUDIT_RFC5424 : WD_AUDIT_JSON_LINES, print_line, NULL, err));
    return wd_cli_print((wd_span){ (const uint8_t *)"", 0 }, err); /* flushed, or a sentence */
}

static wd_status list(wd_guard *g, const wd_identity *me, const options *o, wd_err *err)
{
    static const char *const columns[] = { "seq",  "time",   "event",  "subject", "tenant",
                                           "from", "action", "object", "outcome", "reason" };
    wd_audit_filter f = filter_of(o);
    json_t *v;

    if (!f.last && !f.after && !f.since && !f.visit)
        f.last = 50;
    WD_TRY(wd_audit_list(g, me, &f, &v, err));
    return wd_trust_print(v, o->json, columns, WD_COUNT(columns), err);
}

static wd_status checkpoint(wd_guard *g, const wd_identity *me, wd_err *err)
{
    json_t *v;
    wd_buf b = { 0 };

    WD_TRY(wd_audit_checkpoint(g, me, &v, err));
    wd_status st = wd_json_write(v, JSON_COMPACT, &b, err);
    json_decref(v);
    wd_buf_char(&b, '\n');
    if (!st)
        st = wd_buf_check(&b, "checkpoint", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status read_input(wd_buf *in, wd_err *err)
{
    char block[4096];
    size_t n;

    in->max = STDIN_MAX;
    while ((n = fread(block, 1, sizeof block, stdin)) > 0 && !in->failed)
        wd_buf_put(in, block, n);
    wd_wipe(block, sizeof block);
    if (ferror(stdin))
        return WD_FAIL(err, WD_E_IO, "standard input: cannot read: %s", strerror(errno));
    return wd_buf_check(in, "standard input", err);
}

static wd_status digest(wd_guard *g, const wd_identity *me, const options *o, wd_err *err)
{
    wd_buf in = { 0 };
    wd_digest d;
    char hex[66];

    wd_status st = read_input(&in, err);
    if (!st)
        st = wd_audit_digest(g, me, wd_buf_view(&in), &d, err);
    wd_buf_wipe(&in);
    wd_buf_free(&in);
    if (st)
        return st;
    wd_digest_hex(&d, hex);
    if (o->json)
        return wd_cli_print_json(json_pack("{s:s}", "digest", hex), err);
    hex[64] = '\n';
    return wd_cli_print(wd_span_of(hex, 65), err);
}

/* ---- ship ---- */

/* "log.example", "log.example:6514", "10.0.0.7:6514", "[2001:db8::7]:6514", "2001:db8::7": taken apart in the arena. */
static wd_status split_host(wd_cli *cli, const char *to, const char **host, const char **port, wd_err *err)
{
    const char *end, *colon = strchr(to, ':');

    if (*to == '[') {
        to++;
        end = strchr(to, ']');
        colon = end && end[1] == ':' ? end + 1 : NULL;
        if (!end || (end[1] && !colon))
            return WD_FAIL(err, WD_E_USAGE, "--to: expected [ADDRESS] or [ADDRESS]:PORT");
    } else if (colon && strchr(colon + 1, ':')) {
        end = to + strlen(to);
        colon = NULL;
    } else {
        end = colon ? colon : to + strlen(to);
    }
    *host = wd_arena_strndup(cli->arena, to, (size_t)(end - to));
    if (colon)
        *port = colon + 1;
    return *host ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "no memory for a host's name");
}

static wd_status ship_report(const options *o, const wd_ship_report *r, wd_err *err)
{
    wd_buf b = { 0 };

    if (o->json)
        return wd_cli_print_json(
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "to", o->to, "records", (json_int_t)r->n_record,
                      "checkpoints", (json_int_t)r->n_checkpoint, "last", (json_int_t)r->seq, "connections",
                      (json_int_t)r->n_connection, "failed", (json_int_t)r->n_failed),
            err);
    wd_buf_printf(&b, "sent %llu records and %llu checkpoints; the log server has them up to record %lld\n",
                  (unsigned long long)r->n_record, (unsigned long long)r->n_checkpoint, (long long)r->seq);
    wd_status st = wd_buf_check(&b, "report", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status ship(wd_cli *cli, wd_guard *g, const wd_identity *me, const options *o, wd_err *err)
{
    wd_ship_opts s = WD_SHIP_OPTS_DEFAULT;
    wd_ship_report r;

    if (!o->to)
        return WD_FAIL(err, WD_E_USAGE, "ship needs the log server: --to HOST:PORT");
    WD_TRY(split_host(cli, o->to, &s.host, &s.port, err));
    s.ca = o->ca;
    s.name = o->name;
    s.fingerprint = o->fingerprint;
    s.cert = o->cert;
    s.key = o->cert_key;
    s.follow = o->follow;
    s.timeout_ms = (uint32_t)o->timeout_s * 1000;
    s.cancel = &wd_cli_cancelled;
    WD_TRY(wd_audit_ship(g, me, &s, &r, err));
    return ship_report(o, &r, err);
}

/* ---- policy ---- */

/* The table as data: reach by role, as in the Markdown form. */
static json_t *policy_json(void)
{
    static const char *const reach[] = { "no", "own", "tenant", "all" }, *const recorded[] = { "no", "once",
                                                                                               "twice" };
    size_t n;
    const wd_rule *rules = wd_policy_rules(&n);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        const wd_rule *r = &rules[i];
        json_t *roles = json_object();
        wd_buf scope = { 0 };
        wd_scopes_write((uint32_t)r->scope, &scope);
        for (unsigned k = 0; k < WD_N_ACCOUNT_ROLE && roles; k++)
            json_object_set_new(roles, wd_account_role_name((wd_account_role)k),
                                json_string(r->open ? "anyone" : reach[r->reach[k]]));
        wd_json_append(&list, json_pack("{s:s, s:s?, s:s?, s:s, s:s, s:o}", "action", r->action, "method",
                                        r->method, "path", r->path, "scope", scope.n ? (char *)scope.p : "",
                                        "recorded", recorded[r->recorded], "roles", roles));
        wd_buf_free(&scope);
    }
    return list;
}

static wd_status policy(const options *o, wd_err *err)
{
    wd_buf b = { 0 };

    if (o->json)
        return wd_cli_print_json(policy_json(), err);
    wd_policy_write(&b);
    wd_status st = wd_buf_check(&b, "table", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    static const char *const ways[] = {
        "verify", "policy", "list", "export", "checkpoint", "digest", "ship"
    };
    options o = { 0 };
    wd_opt_list rest;
    wd_guard *g;
    wd_identity me;
    size_t way = 0;

    WD_TRY(wd_cli_options(cli, &wd_cmd_audit, argc, argv, &o, &rest, err));
    while (rest.n == 1 && way < WD_COUNT(ways) && strcmp(rest.v[0], ways[way]) != 0)
        way++;
    if (rest.n != 1 || way == WD_COUNT(ways))
        return WD_FAIL(err, WD_E_USAGE,
                       "ward audit takes one of verify, list, export, ship, checkpoint, digest, policy");
    if (way == 0)
        return verify(cli, &o, err);
    if (way == 1)
        return policy(&o, err);
    WD_TRY(wd_trust_open(cli, o.data, false, &g, err));
    wd_trust_me(WD_ACCOUNT_AUDITOR, &me);
    const wd_status st = way == 2   ? list(g, &me, &o, err)
                         : way == 3 ? export(g, &me, &o, err)
                         : way == 4 ? checkpoint(g, &me, err)
                         : way == 5 ? digest(g, &me, &o, err)
                                    : ship(cli, g, &me, &o, err);
    wd_guard_close(g);
    return st;
}

const wd_command wd_cmd_audit = {
    .name = "audit",
    .brief = "what was done on the server: verify, list, export",
    .operands = "verify | list | export | ship | checkpoint | digest | policy",
    .about = "Reads the audit of ward serve (docs/trust.md). verify checks every record and signature, "
             "offline and without any\n"
             "secret: it finds what was edited, removed, added, moved or cut off, and exits 3 then. list "
             "shows records, the\n"
             "newest 50 unless asked otherwise; export prints them as lines. ship sends\n"
             "them to a log server, as syslog over TLS, from where it stopped. checkpoint signs the end now. "
             "digest reads a text from\n"
             "standard input and prints what stands for it in records. policy prints who may do what.",
    .examples = "  ward audit verify\n"
                "  ward audit verify --db copy/ward.db --key audit.pub --anchors /mnt/worm/audit.anchors\n"
                "  ward audit list --subject user:alice --since 2026-01-31\n"
                "  ward audit export > audit.jsonl && ward audit verify --lines audit.jsonl --key audit.pub\n"
                "  ward audit export --format syslog --after 12000\n"
                "  ward audit ship --to log.example:6514 --ca hospital-ca.pem --follow\n",
    .options = { "audit", opts, WD_COUNT(opts) },
    .run = run,
};
