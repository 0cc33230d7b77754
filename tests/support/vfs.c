/* SQLite's file layer with failures. */
#include "support/vfs.h"

#include <string.h>

#include <sqlite3.h>

#include "base/mem.h"

#define MAX_UNDO 4096

typedef struct undo {
    sqlite3_int64 at, size_before;
    int n; /* bytes that were there; what the write added past the end is cut off by size_before */
    unsigned char *old;
} undo;

typedef struct file {
    sqlite3_file base;
    sqlite3_file *real;
    undo *undo; /* [n_undo] since the last sync, oldest first */
    int n_undo;
    struct file *next; /* of all open ones */
} file;

test_vfs test_vfs_state;
static sqlite3_vfs vfs, *under;
static sqlite3_io_methods methods;
static file *all_files;

static void forget(file *f)
{
    for (int i = 0; i < f->n_undo; i++)
        sqlite3_free(f->undo[i].old);
    f->n_undo = 0;
}

/* Takes back, newest first, what was not synced. */
static void lose_unsynced(file *f)
{
    for (int i = f->n_undo; i-- > 0;) {
        const undo *u = &f->undo[i];
        if (u->n)
            f->real->pMethods->xWrite(f->real, u->old, u->n, u->at);
        f->real->pMethods->xTruncate(f->real, u->size_before);
    }
    forget(f);
}

/* One operation on the disk. False: it must not happen. */
static bool may(void)
{
    test_vfs *s = &test_vfs_state;
    s->ops++;
    if (!s->dead && s->crash_at && s->ops >= s->crash_at) {
        s->dead = true;
        for (file *f = all_files; f && s->lose; f = f->next)
            lose_unsynced(f);
    }
    return !s->dead;
}

static int write_rc(void)
{
    return test_vfs_state.full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static void remember(file *f, sqlite3_int64 at, int n)
{
    if (f->n_undo == MAX_UNDO)
        return; /* a test this long checks no loss */
    if (!f->undo)
        f->undo = sqlite3_malloc64(MAX_UNDO * sizeof(undo));
    undo *u = &f->undo[f->n_undo++];
    *u = (undo){ .at = at };
    f->real->pMethods->xFileSize(f->real, &u->size_before);
    if (at < u->size_before) {
        u->n = (int)(u->size_before - at < n ? u->size_before - at : n);
        u->old = sqlite3_malloc(u->n);
        f->real->pMethods->xRead(f->real, u->old, u->n, at);
    }
}

static int x_close(sqlite3_file *p)
{
    file *f = (file *)p;
    forget(f);
    sqlite3_free(f->undo);
    for (file **at = &all_files; *at; at = &(*at)->next) {
        if (*at == f) {
            *at = f->next;
            break;
        }
    }
    return f->real->pMethods->xClose(f->real);
}

static int x_read(sqlite3_file *p, void *b, int n, sqlite3_int64 at)
{
    file *f = (file *)p;
    return f->real->pMethods->xRead(f->real, b, n, at);
}

static int x_write(sqlite3_file *p, const void *b, int n, sqlite3_int64 at)
{
    file *f = (file *)p;
    const bool was_alive = !test_vfs_state.dead;
    if (!may()) {
        if (was_alive && !test_vfs_state.lose) /* the power fails in the middle of this write */
            f->real->pMethods->xWrite(f->real, b, n / 2, at);
        return SQLITE_IOERR_WRITE;
    }
    if (wd_inject_here())
        return write_rc();
    remember(f, at, n);
    test_vfs_state.unsynced++;
    return f->real->pMethods->xWrite(f->real, b, n, at);
}

static int x_truncate(sqlite3_file *p, sqlite3_int64 n)
{
    file *f = (file *)p;
    if (!may())
        return SQLITE_IOERR_TRUNCATE;
    if (wd_inject_here())
        return SQLITE_IOERR_TRUNCATE;
    forget(f); /* counts as written through: no test needs more */
    return f->real->pMethods->xTruncate(f->real, n);
}

static int x_sync(sqlite3_file *p, int flags)
{
    file *f = (file *)p;
    if (!may())
        return SQLITE_IOERR_FSYNC;
    if (wd_inject_here())
        return SQLITE_IOERR_FSYNC;
    forget(f);
    test_vfs_state.unsynced = 0;
    return f->real->pMethods->xSync(f->real, flags);
}

static int x_size(sqlite3_file *p, sqlite3_int64 *n)
{
    file *f = (file *)p;
    return f->real->pMethods->xFileSize(f->real, n);
}

static int x_lock(sqlite3_file *p, int l)
{
    file *f = (file *)p;
    return f->real->pMethods->xLock(f->real, l);
}

static int x_unlock(sqlite3_file *p, int l)
{
    file *f = (file *)p;
    return f->real->pMethods->xUnlock(f->real, l);
}

static int x_reserved(sqlite3_file *p, int *r)
{
    file *f = (file *)p;
    return f->real->pMethods->xCheckReservedLock(f->real, r);
}

static int x_control(sqlite3_file *p, int op, void *arg)
{
    file *f = (file *)p;
    return f->real->pMethods->xFileControl(f->real, op, arg);
}

static int x_sector(sqlite3_file *p)
{
    file *f = (file *)p;
    return f->real->pMethods->xSectorSize(f->real);
}

static int x_device(sqlite3_file *p)
{
    file *f = (file *)p;
    return f->real->pMethods->xDeviceCharacteristics(f->real);
}

static int x_shm_map(sqlite3_file *p, int page, int size, int extend, void volatile **out)
{
    file *f = (file *)p;
    return f->real->pMethods->xShmMap(f->real, page, size, extend, out);
}

static int x_shm_lock(sqlite3_file *p, int at, int n, int flags)
{
    file *f = (file *)p;
    return f->real->pMethods->xShmLock(f->real, at, n, flags);
}

static void x_shm_barrier(sqlite3_file *p)
{
    file *f = (file *)p;
    f->real->pMethods->xShmBarrier(f->real);
}

static int x_shm_unmap(sqlite3_file *p, int del)
{
    file *f = (file *)p;
    return f->real->pMethods->xShmUnmap(f->real, del && !test_vfs_state.dead);
}

static int x_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *p, int flags, int *out)
{
    file *f = (file *)p;
    (void)v;
    memset(f, 0, sizeof *f);
    if (wd_inject_here())
        return SQLITE_CANTOPEN;
    f->real = (sqlite3_file *)(f + 1);
    const int rc = under->xOpen(under, name, f->real, flags, out);
    if (rc == SQLITE_OK) {
        f->base.pMethods = &methods;
        f->next = all_files;
        all_files = f;
    }
    return rc;
}

static int x_delete(sqlite3_vfs *v, const char *name, int sync)
{
    (void)v;
    if (!may())
        return SQLITE_IOERR_DELETE;
    return under->xDelete(under, name, sync);
}

void test_vfs_reset(void)
{
    test_vfs_state = (test_vfs){ 0 };
    if (under)
        return;
    under = sqlite3_vfs_find(NULL);
    vfs = *under;
    vfs.zName = "test";
    vfs.szOsFile = (int)sizeof(file) + under->szOsFile;
    vfs.pNext = NULL;
    vfs.xOpen = x_open;
    vfs.xDelete = x_delete;
    methods = (sqlite3_io_methods){ .iVersion = 2,
                                    .xClose = x_close,
                                    .xRead = x_read,
                                    .xWrite = x_write,
                                    .xTruncate = x_truncate,
                                    .xSync = x_sync,
                                    .xFileSize = x_size,
                                    .xLock = x_lock,
                                    .xUnlock = x_unlock,
                                    .xCheckReservedLock = x_reserved,
                                    .xFileControl = x_control,
                                    .xSectorSize = x_sector,
                                    .xDeviceCharacteristics = x_device,
                                    .xShmMap = x_shm_map,
                                    .xShmLock = x_shm_lock,
                                    .xShmBarrier = x_shm_barrier,
                                    .xShmUnmap = x_shm_unmap };
    sqlite3_vfs_register(&vfs, 0);
}
