/* Kept files.
 *
 *   DIR/files/ID   "wardfil1" | u32 length of the sealed facts | sealed facts (JSON) | sealed content
 *   sealed         24 bytes of nonce | ciphertext | 16 bytes of tag; additional data: "facts" or "content", and the id
 *
 * Invariants, under mu
 *   1. entry[0 .. n) are the files that are there whole, in order of creation.
 *   2. n_bytes and n_all count them and those that are being written.
 *   3. n_out were taken out to be deleted, without mu: what cannot be goes back. cap is at least n_all + n_out.
 */
#include "store/files.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#define MAGIC "wardfil1"
#define HEAD (sizeof MAGIC - 1 + 4)
#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG crypto_aead_xchacha20poly1305_ietf_ABYTES
#define KEY crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define FACTS_MAX 8192
#define CONTENT_MAX ((size_t)1 << 34)
#define PATH_MAX_ 4096
#define PREFIX 5 /* of ids: "file-", "resp_" */

typedef struct entry {
    wd_kept k;
    wd_buf content;     /* in memory alone */
    struct entry *next; /* of those that were taken out */
} entry;

/* The two kinds: their directory (and key: "files.key"), the beginning of ids, and their name in sentences. */
static const struct {
    const char *dir, *prefix, *one;
} kinds[] = {
    [WD_FILES_UPLOADS] = { "files", "file-", "file" },
    [WD_FILES_RESPONSES] = { "responses", "resp_", "response" },
};

struct wd_files {
    wd_files_opts o;
    char dir[PATH_MAX_]; /* DIR/files, DIR/responses; empty: in memory */
    uint8_t key[KEY];
    pthread_mutex_t mu;
    entry **entry; /* [n] */
    size_t n, cap;
    uint64_t n_bytes;
    size_t n_all, n_out;
};

static int64_t now_s(const wd_files *f)
{
    return f->o.now_s ? f->o.now_s(f->o.clock) : (int64_t)time(NULL);
}

/* --- sealing ----------------------------------------------------------------------------------------------- */

static size_t sealed_size(size_t n)
{
    return NONCE + n + TAG;
}

static int label(char out[64], const char *what, const char *id)
{
    return snprintf(out, 64, "%s %s", what, id);
}

static wd_status seal(const wd_files *f, const char *what, const char *id, wd_span plain, wd_buf *out,
                      wd_err *err)
{
    char about[64];
    const int n = label(about, what, id);
    uint8_t *p = wd_buf_grow(out, sealed_size(plain.n));
    if (!p)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to seal it", id);
    randombytes_buf(p, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(p + NONCE, NULL, plain.p, plain.n, (const uint8_t *)about,
                                               (unsigned long long)n, NULL, p, f->key);
    return WD_OK;
}

static wd_status unseal(const wd_files *f, const char *what, const char *id, wd_span sealed, wd_buf *out,
                        wd_err *err)
{
    char about[64];
    const int n = label(about, what, id);
    if (sealed.n < NONCE + TAG)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: cut off", id);
    uint8_t *p = wd_buf_grow(out, sealed.n - NONCE - TAG);
    if (!p)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open it", id);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(p, NULL, NULL, sealed.p + NONCE, sealed.n - NONCE,
                                                   (const uint8_t *)about, (unsigned long long)n, sealed.p,
                                                   f->key) == 0)
        return WD_OK;
    out->n -= sealed.n - NONCE - TAG;
    return WD_FAIL(err, WD_E_CORRUPT, "%s: changed since it was kept, or another key's", id);
}

static wd_status read_key(const char *path, uint8_t key[KEY], wd_err *err)
{
    wd_buf b = { .max = 4096 };
    struct stat info;
    if (stat(path, &info) == 0 && (info.st_mode & 077))
        return WD_FAIL(err, WD_E_DENIED, "%s: others may read it (mode %03o), expected mode 600", path,
                       (unsigned)(info.st_mode & 0777));
    wd_status st = wd_file_read(path, 256, &b, err);
    if (!st && b.n != KEY)
        st = WD_FAIL(err, WD_E_CORRUPT, "%s: %zu bytes, expected %zu", path, b.n, (size_t)KEY);
    if (!st)
        memcpy(key, b.p, KEY);
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    return st;
}

/* --- the facts --------------------------------------------------------------------------------------------- */

static wd_status write_facts(const wd_kept *k, wd_buf *out, wd_err *err)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "tenant", k->tenant, "owner", k->owner,
                          "name", k->name, "purpose", k->purpose, "kind", k->kind, "bytes",
                          (json_int_t)k->bytes, "created", (json_int_t)k->created, "expires",
                          (json_int_t)k->expires);
    const wd_status st = o ? wd_json_write(o, JSON_COMPACT, out, err)
                           : WD_FAIL(err, WD_E_NOMEM, "%s: no memory", k->id);
    json_decref(o);
    return st;
}

static wd_status take_text(const json_t *o, const char *id, const char *key, char *out, size_t room,
                           wd_err *err)
{
    const char *s;
    WD_TRY(wd_json_need_str(o, id, key, &s, err));
    if (strlen(s) >= room)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %s is too long", id, key);
    memcpy(out, s, strlen(s) + 1);
    return WD_OK;
}

static wd_status take_facts(const json_t *o, wd_kept *k, wd_err *err)
{
    int64_t bytes;
    WD_TRY(take_text(o, k->id, "tenant", k->tenant, sizeof k->tenant, err));
    WD_TRY(take_text(o, k->id, "owner", k->owner, sizeof k->owner, err));
    WD_TRY(take_text(o, k->id, "name", k->name, sizeof k->name, err));
    WD_TRY(take_text(o, k->id, "purpose", k->purpose, sizeof k->purpose, err));
    WD_TRY(take_text(o, k->id, "kind", k->kind, sizeof k->kind, err));
    WD_TRY(wd_json_need_int(o, k->id, "bytes", 0, (int64_t)CONTENT_MAX, &bytes, err));
    WD_TRY(wd_json_need_int(o, k->id, "created", 0, INT64_MAX, &k->created, err));
    WD_TRY(wd_json_need_int(o, k->id, "expires", 0, INT64_MAX, &k->expires, err));
    k->bytes = (uint64_t)bytes;
    return WD_OK;
}

/* The head of a file: how long its sealed facts are. */
static wd_status read_head(const char *id, wd_span file, size_t *n_facts, wd_err *err)
{
    if (file.n < HEAD || memcmp(file.p, MAGIC, sizeof MAGIC - 1) != 0)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: no file of Ward's", id);
    *n_facts = wd_le32(file.p + sizeof MAGIC - 1);
    if (*n_facts > FACTS_MAX)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: its head is damaged", id);
    return WD_OK;
}

static wd_status open_facts(const wd_files *f, wd_span start, wd_kept *k, wd_err *err)
{
    size_t n;
    wd_buf text = { 0 };
    json_t *o = NULL;
    WD_TRY(read_head(k->id, start, &n, err));
    wd_status st = start.n < HEAD + n ? WD_FAIL(err, WD_E_CORRUPT, "%s: cut off", k->id) : WD_OK;
    if (!st)
        st = unseal(f, "facts", k->id, wd_span_of(start.p + HEAD, n), &text, err);
    if (!st)
        st = wd_json_parse(wd_buf_view(&text), k->id, &o, err);
    if (!st)
        st = take_facts(o, k, err);
    json_decref(o);
    wd_buf_wipe(&text);
    wd_buf_free(&text);
    return st;
}

/* --- the directory ----------------------------------------------------------------------------------------- */

static wd_status path_of(const wd_files *f, const char *id, char out[PATH_MAX_], wd_err *err)
{
    if (snprintf(out, PATH_MAX_, "%s/%s", f->dir, id) >= PATH_MAX_)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", f->dir);
    return WD_OK;
}

static wd_status write_out(const wd_files *f, const wd_kept *k, wd_span content, wd_err *err)
{
    char path[PATH_MAX_];
    wd_buf facts = { .max = FACTS_MAX }, file = { 0 };
    wd_status st = path_of(f, k->id, path, err);
    if (!st)
        st = write_facts(k, &facts, err);
    if (!st)
        st = wd_buf_check(&facts, k->id, err);
    if (!st) {
        const uint32_t n = (uint32_t)sealed_size(facts.n);
        const uint8_t le[4] = { (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24) };
        wd_buf_str(&file, MAGIC);
        wd_buf_put(&file, le, sizeof le);
        st = seal(f, "facts", k->id, wd_buf_view(&facts), &file, err);
    }
    if (!st)
        st = seal(f, "content", k->id, content, &file, err);
    if (!st)
        st = wd_buf_check(&file, k->id, err);
    if (!st && (st = wd_file_write_secret(path, wd_buf_view(&file), err)) != WD_OK)
        unlink(path); /* it may stand there, but not durably */
    wd_buf_wipe(&facts);
    wd_buf_free(&facts);
    wd_buf_free(&file);
    return st;
}

static wd_status read_in(const wd_files *f, const wd_kept *k, wd_buf *out, wd_err *err)
{
    char path[PATH_MAX_];
    wd_mapped m;
    size_t n;
    WD_TRY(path_of(f, k->id, path, err));
    WD_TRY(wd_file_map(path, &m, err));
    const size_t before = out->n;
    wd_status st = read_head(k->id, wd_span_of(m.p, m.n), &n, err);
    if (!st && m.n < HEAD + n)
        st = WD_FAIL(err, WD_E_CORRUPT, "%s: cut off", k->id);
    if (!st)
        st = unseal(f, "content", k->id, wd_span_of(m.p + HEAD + n, m.n - HEAD - n), out, err);
    if (!st && out->n - before != k->bytes)
        st = WD_FAIL(err, WD_E_CORRUPT, "%s: its length is not what was kept", k->id);
    wd_file_unmap(&m);
    return st;
}

static wd_status remove_from_dir(const wd_files *f, const char *id, wd_err *err)
{
    char path[PATH_MAX_];
    WD_TRY(path_of(f, id, path, err));
    if (unlink(path) < 0 && errno != ENOENT)
        return WD_FAIL(err, WD_E_IO, "%s: cannot delete: %s", path, strerror(errno));
    return WD_OK;
}

static wd_status sync_dir(const wd_files *f, wd_err *err)
{
    char path[PATH_MAX_];
    WD_TRY(path_of(f, "", path, err));
    return wd_file_sync_dir(path, err);
}

/* --- entries ----------------------------------------------------------------------------------------------- */

static void free_entry(entry *e)
{
    if (!e)
        return;
    wd_buf_wipe(&e->content);
    wd_buf_free(&e->content);
    wd_wipe(&e->k, sizeof e->k);
    wd_free(e);
}

/* Under mu. */
static wd_status check_room(const wd_files *f, const wd_kept *k, wd_err *err)
{
    const char *one = kinds[f->o.kind].one;
    uint64_t own = 0;
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->entry[i]->k.owner, k->owner) && !strcmp(f->entry[i]->k.tenant, k->tenant))
            own += f->entry[i]->k.bytes;
    if (f->n_all >= f->o.max_files)
        return WD_FAIL(err, WD_E_LIMIT, "%u %ss are kept already: delete some", f->o.max_files, one);
    if (f->n_bytes > f->o.max_bytes || k->bytes > f->o.max_bytes - f->n_bytes)
        return WD_FAIL(err, WD_E_LIMIT, "there is no room for %llu bytes: all %ss together may have %llu",
                       (unsigned long long)k->bytes, one, (unsigned long long)f->o.max_bytes);
    if (k->bytes > f->o.owner_bytes || own > f->o.owner_bytes - k->bytes)
        return WD_FAIL(err, WD_E_LIMIT, "your %ss have %llu bytes already, and may have %llu: delete some",
                       one, (unsigned long long)own, (unsigned long long)f->o.owner_bytes);
    return WD_OK;
}

/* Under mu. Room for one more pointer is made when its place is reserved: adding cannot fail. */
static wd_status reserve(wd_files *f, const wd_kept *k, wd_err *err)
{
    WD_TRY(check_room(f, k, err));
    if (f->n_all + f->n_out >= f->cap) {
        const size_t cap = f->cap ? 2 * f->cap : 64;
        entry **more = wd_realloc(f->entry, cap, sizeof *more);
        if (!more)
            return WD_FAIL(err, WD_E_NOMEM, "files: no memory");
        f->entry = more;
        f->cap = cap;
    }
    f->n_all++;
    f->n_bytes += k->bytes;
    return WD_OK;
}

static size_t index_of(const wd_files *f, const char *id)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->entry[i]->k.id, id))
            return i;
    return SIZE_MAX;
}

static wd_status no_such_file(const wd_files *f, wd_err *err)
{
    return WD_FAIL(err, WD_E_NOT_FOUND, "no such %s",
                   kinds[f->o.kind].one); /* the id is the client's: it is not repeated */
}

/* Under mu. The one of that id, or with NULL those whose time is over; oldest first. */
static entry *take_out(wd_files *f, const char *id, int64_t now)
{
    entry *out = NULL, **last = &out;
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        entry *e = f->entry[i];
        if (id ? strcmp(e->k.id, id) != 0 : e->k.expires > now) {
            f->entry[n++] = e;
            continue;
        }
        e->next = NULL;
        *last = e;
        last = &e->next;
        f->n_all--;
        f->n_bytes -= e->k.bytes;
        f->n_out++;
    }
    f->n = n;
    return out;
}

static wd_status new_entry(const wd_kept *k, entry **e, wd_err *err)
{
    *e = WD_ALLOC(entry);
    if (!*e)
        return WD_FAIL(err, WD_E_NOMEM, "files: no memory");
    (*e)->k = *k;
    return WD_OK;
}

static int by_age(const void *a, const void *b)
{
    const entry *x = *(entry *const *)a, *y = *(entry *const *)b;
    if (x->k.created != y->k.created)
        return x->k.created < y->k.created ? -1 : 1;
    return strcmp(x->k.id, y->k.id);
}

/* Under mu. */
static void put_back(wd_files *f, entry *e)
{
    size_t i = f->n;
    while (i > 0 && by_age(&f->entry[i - 1], &e) > 0)
        i--;
    memmove(&f->entry[i + 1], &f->entry[i], (f->n - i) * sizeof(entry *));
    f->entry[i] = e;
    f->n++;
    f->n_all++;
    f->n_bytes += e->k.bytes;
}

/* Deletes what was taken out, and syncs the directory once: without mu, for a disk takes its time. *n: how many went, durably.
 * The others are back in the list then, to be tried again; err: why, of the first. A crash in between leaves what the next
 * start finds and, if its time is over, deletes. */
static wd_status delete_taken(wd_files *f, entry *taken, size_t *n, wd_err *err)
{
    entry *gone = NULL, *left = NULL, **end = &left;
    wd_status st = WD_OK;
    size_t n_taken = 0;
    for (entry *e = taken, *next; e; e = next, n_taken++) {
        next = e->next;
        const wd_status one = f->dir[0] ? remove_from_dir(f, e->k.id, st ? NULL : err) : WD_OK;
        entry **to = one ? end : &gone;
        e->next = one ? NULL : gone;
        *to = e;
        if (one)
            end = &e->next;
        st = st ? st : one;
    }
    const wd_status synced = gone && f->dir[0] ? sync_dir(f, st ? NULL : err) : WD_OK;
    if (synced) {
        *end = gone;
        gone = NULL;
        st = st ? st : synced;
    }
    pthread_mutex_lock(&f->mu);
    for (entry *e = left; e; e = e->next) {
        wd_log(WD_LOG_ERROR, "files", "not deleted id=%s", e->k.id);
        put_back(f, e);
    }
    f->n_out -= n_taken;
    pthread_mutex_unlock(&f->mu);
    *n = 0;
    for (entry *e = gone, *next; e; e = next, ++*n) {
        next = e->next;
        wd_log(WD_LOG_INFO, "files", "deleted id=%s", e->k.id);
        free_entry(e);
    }
    return st;
}

/* --- opening ----------------------------------------------------------------------------------------------- */

static wd_status load_one(wd_files *f, const char *name, wd_err *err)
{
    char path[PATH_MAX_];
    wd_mapped m;
    entry *e;
    wd_kept k = { 0 };
    if (strlen(name) >= sizeof k.id)
        return WD_FAIL(err, WD_E_CORRUPT, "its name is none of ours");
    memcpy(k.id, name, strlen(name) + 1);
    WD_TRY(path_of(f, name, path, err));
    WD_TRY(wd_file_map(path, &m, err));
    wd_status st = open_facts(f, wd_span_of(m.p, m.n), &k, err);
    wd_file_unmap(&m);
    WD_TRY(st);
    WD_TRY(new_entry(&k, &e, err));
    st = reserve(f, &k, err);
    if (st) {
        free_entry(e);
        return st;
    }
    f->entry[f->n++] = e;
    return WD_OK;
}

/* What a name tells: "ID.XXXXXX" was being written when the program ended. */
static wd_status load_all(wd_files *f, wd_err *err)
{
    char **names, path[PATH_MAX_];
    size_t n;
    wd_arena *a = wd_arena_create((size_t)1 << 28, false);
    wd_status st = a ? wd_file_list(a, f->dir, &names, &n, err)
                     : WD_FAIL(err, WD_E_NOMEM, "files: no memory");
    const wd_files_opts limits = f->o;
    f->o.max_bytes = f->o.owner_bytes = UINT64_MAX; /* what is there is there */
    f->o.max_files = UINT32_MAX;
    for (size_t i = 0; !st && i < n; i++) {
        wd_err why = { 0 };
        if (strncmp(names[i], kinds[f->o.kind].prefix, PREFIX) != 0)
            continue;
        if (strchr(names[i], '.')) {
            if (path_of(f, names[i], path, &why) == WD_OK)
                unlink(path);
            continue;
        }
        const wd_status one = load_one(f, names[i], &why);
        if (one == WD_E_NOMEM) {
            *err = why;
            st = one;
        } else if (one) {
            wd_log(WD_LOG_ERROR, "files", "left alone id=%.40s why=%s", names[i], wd_status_name(one));
        }
    }
    f->o = limits;
    if (!st && f->n)
        qsort(f->entry, f->n, sizeof *f->entry, by_age);
    wd_arena_destroy(a);
    return st;
}

static wd_status open_dir(wd_files *f, wd_err *err)
{
    const char *what = kinds[f->o.kind].dir;
    char path[PATH_MAX_];
    if (snprintf(f->dir, sizeof f->dir, "%s/%s", f->o.dir, what) >= (int)sizeof f->dir ||
        snprintf(path, sizeof path, "%s/%s.key", f->o.dir, what) >= (int)sizeof path)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", f->o.dir);
    if (mkdir(f->dir, 0700) < 0 && errno != EEXIST)
        return WD_FAIL(err, WD_E_IO, "%s: cannot create the directory: %s", f->dir, strerror(errno));
    if (!wd_file_exists(path)) {
        randombytes_buf(f->key, sizeof f->key);
        WD_TRY(wd_file_write_secret(path, wd_span_of(f->key, sizeof f->key), err));
    }
    WD_TRY(read_key(path, f->key, err));
    return load_all(f, err);
}

wd_status wd_files_open(const wd_files_opts *o, wd_files **out, wd_err *err)
{
    *out = NULL;
    wd_files *f = WD_ALLOC(wd_files);
    if (!f)
        return WD_FAIL(err, WD_E_NOMEM, "files: no memory");
    f->o = *o;
    pthread_mutex_init(&f->mu, NULL);
    const wd_status st = o->dir ? open_dir(f, err) : WD_OK;
    if (st) {
        wd_files_close(f);
        return st;
    }
    *out = f;
    return WD_OK;
}

void wd_files_close(wd_files *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        free_entry(f->entry[i]);
    wd_free(f->entry);
    pthread_mutex_destroy(&f->mu);
    wd_wipe(f->key, sizeof f->key);
    wd_free(f);
}

const char *wd_files_noun(const wd_files *f)
{
    return kinds[f->o.kind].one;
}

/* --- use --------------------------------------------------------------------------------------------------- */

static void new_id(const wd_files *f, char out[WD_FILE_ID_MAX])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    memcpy(out, kinds[f->o.kind].prefix, PREFIX);
    for (size_t i = PREFIX; i < PREFIX + 24; i++)
        out[i] = letters[randombytes_uniform(sizeof letters - 1)];
    out[PREFIX + 24] = 0;
}

wd_status wd_files_room(wd_files *f, const char *tenant, const char *owner, uint64_t bytes, wd_err *err)
{
    wd_kept k = { .bytes = bytes };
    snprintf(k.tenant, sizeof k.tenant, "%s", tenant);
    snprintf(k.owner, sizeof k.owner, "%s", owner);
    wd_files_sweep(f);
    pthread_mutex_lock(&f->mu);
    const wd_status st = check_room(f, &k, err);
    pthread_mutex_unlock(&f->mu);
    return st;
}

wd_status wd_files_put(wd_files *f, wd_kept *k, wd_span content, wd_err *err)
{
    entry *e = NULL;
    if (!k->id[0])
        new_id(f, k->id);
    k->bytes = content.n;
    k->created = now_s(f);
    k->expires += k->created;
    wd_files_sweep(f);
    pthread_mutex_lock(&f->mu);
    wd_status st = reserve(f, k, err);
    pthread_mutex_unlock(&f->mu);
    WD_TRY(st);
    st = new_entry(k, &e, err);
    if (!st && f->dir[0]) {
        st = write_out(f, k, content, err);
    } else if (!st) {
        wd_buf_span(&e->content, content);
        st = wd_buf_check(&e->content, "file", err);
    }
    pthread_mutex_lock(&f->mu);
    if (st) {
        f->n_all--;
        f->n_bytes -= k->bytes;
    } else {
        f->entry[f->n++] = e;
    }
    pthread_mutex_unlock(&f->mu);
    if (st)
        free_entry(e);
    return st;
}

wd_status wd_files_find(wd_files *f, const char *id, wd_kept *out, wd_err *err)
{
    pthread_mutex_lock(&f->mu);
    const size_t i = index_of(f, id);
    const bool there = i != SIZE_MAX && f->entry[i]->k.expires > now_s(f);
    if (there)
        *out = f->entry[i]->k;
    pthread_mutex_unlock(&f->mu);
    return there ? WD_OK : no_such_file(f, err);
}

wd_status wd_files_read(wd_files *f, const char *id, wd_buf *out, wd_err *err)
{
    wd_kept k;
    WD_TRY(wd_files_find(f, id, &k, err));
    if (f->dir[0]) {
        const wd_status st = read_in(f, &k, out, err);
        return st == WD_E_NOT_FOUND ? no_such_file(f, err) : st; /* deleted meanwhile */
    }
    pthread_mutex_lock(&f->mu);
    const size_t i = index_of(f, id);
    if (i != SIZE_MAX)
        wd_buf_span(out, wd_buf_view(&f->entry[i]->content));
    pthread_mutex_unlock(&f->mu);
    return i == SIZE_MAX ? no_such_file(f, err) : wd_buf_check(out, "file", err);
}

wd_status wd_files_delete(wd_files *f, const char *id, wd_err *err)
{
    size_t n;
    pthread_mutex_lock(&f->mu);
    entry *e = take_out(f, id, 0);
    pthread_mutex_unlock(&f->mu);
    return e ? delete_taken(f, e, &n, err) : no_such_file(f, err);
}

void wd_files_each(wd_files *f, bool (*fn)(void *ctx, const wd_kept *k), void *ctx)
{
    const int64_t now = now_s(f);
    pthread_mutex_lock(&f->mu);
    for (size_t i = 0; i < f->n; i++)
        if (f->entry[i]->k.expires > now && !fn(ctx, &f->entry[i]->k))
            break;
    pthread_mutex_unlock(&f->mu);
}

size_t wd_files_sweep(wd_files *f)
{
    size_t n = 0;
    const int64_t now = now_s(f);
    pthread_mutex_lock(&f->mu);
    entry *over = take_out(f, NULL, now);
    pthread_mutex_unlock(&f->mu);
    if (over && delete_taken(f, over, &n, NULL))
        wd_log(WD_LOG_WARN, "files", "those whose time is over are tried again later");
    return n;
}
