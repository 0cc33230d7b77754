/* Files. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_MAX 1000000u /* entries of one directory */

static wd_status fail_errno(wd_err *err, const char *path, const char *doing, int e)
{
    const wd_status st = e == ENOENT || e == ENOTDIR ? WD_E_NOT_FOUND : e == ENOMEM ? WD_E_NOMEM : WD_E_IO;
    return WD_FAIL(err, st, "%s: cannot %s: %s", path, doing, strerror(e));
}

int wd_file_open_read(const char *path, uint64_t *size, wd_err *err)
{
    /* O_NONBLOCK: opening a FIFO must not hang; it means nothing for regular files. */
    const int fd = wd_inject_here() ? (errno = EIO, -1) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        fail_errno(err, path, "open", errno);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)WD_FAIL(err, WD_E_INVALID, "%s: %s, expected a regular file", path,
                      S_ISDIR(st.st_mode) ? "is a directory" : "is a device or pipe");
        close(fd);
        return -1;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

/* The status behind a failed open: the code that was put into *err, or I/O when err is NULL. */
static wd_status open_status(const wd_err *err)
{
    return err && err->code ? err->code : WD_E_IO;
}

wd_status wd_file_map(const char *path, wd_mapped *out, wd_err *err)
{
    uint64_t size;
    wd_err local;
    const int fd = wd_file_open_read(path, &size, err ? err : &local);
    if (fd < 0)
        return open_status(err ? err : &local);
    if (size == 0) {
        close(fd);
        *out = (wd_mapped){ 0 };
        return WD_OK;
    }
    void *p = wd_inject_here() ? (errno = ENOMEM, MAP_FAILED)
                               : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    const int e = errno;
    close(fd);
    if (p == MAP_FAILED)
        return fail_errno(err, path, "map", e);
    *out = (wd_mapped){ p, size };
    return WD_OK;
}

void wd_file_unmap(wd_mapped *m)
{
    if (m->n)
        munmap((void *)(uintptr_t)m->p, m->n);
    *m = (wd_mapped){ 0 };
}

void wd_file_want_huge(const wd_mapped *m)
{
    if (m->n)
        (void)madvise((void *)(uintptr_t)m->p, m->n, MADV_HUGEPAGE); /* a refusal loses nothing */
}

wd_status wd_file_read(const char *path, size_t max, wd_buf *out, wd_err *err)
{
    uint64_t size;
    wd_err local;
    const int fd = wd_file_open_read(path, &size, err ? err : &local);
    if (fd < 0)
        return open_status(err ? err : &local);
    wd_status st = WD_OK;
    uint8_t *p = NULL;
    if (size > max)
        st = WD_FAIL(err, WD_E_LIMIT, "%s: %llu bytes, expected at most %zu", path, (unsigned long long)size,
                     max);
    else if (!(p = wd_buf_grow(out, (size_t)size)))
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %llu bytes", path, (unsigned long long)size);
    for (size_t got = 0; !st && got < size;) {
        const ssize_t n = wd_inject_here() ? (errno = EIO, -1) : read(fd, p + got, (size_t)size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = fail_errno(err, path, "read", errno);
        else if (n == 0)
            st = WD_FAIL(err, WD_E_IO, "%s: became shorter while it was read", path);
        else
            got += (size_t)n;
    }
    if (st && p)
        out->n -= (size_t)size;
    close(fd);
    return st;
}

static wd_status write_all(int fd, const char *path, wd_span bytes, wd_err *err)
{
    for (size_t done = 0; done < bytes.n;) {
        const ssize_t n = wd_inject_here() ? (errno = ENOSPC, -1) : write(fd, bytes.p + done, bytes.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, path, "write", errno);
        done += (size_t)n;
    }
    return WD_OK;
}

static wd_status write_parts(int fd, const char *path, const wd_span *parts, size_t n, wd_err *err)
{
    for (size_t i = 0; i < n; i++)
        WD_TRY(write_all(fd, path, parts[i], err));
    if (wd_inject_here() ? (errno = EIO, true) : fsync(fd) < 0)
        return fail_errno(err, path, "sync", errno);
    return WD_OK;
}

wd_status wd_file_sync_dir(const char *path, wd_err *err)
{
    const char *slash = strrchr(path, '/');
    char dir[4096];
    const size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof dir)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", path);
    memcpy(dir, slash ? path : ".", slash ? n : 1);
    dir[slash ? n : 1] = 0;
    const int fd = wd_inject_here() ? (errno = EIO, -1)
                                    : open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, path, "open the directory", errno);
    const int failed = wd_inject_here() ? (errno = EIO, -1) : fsync(fd);
    const int e = errno;
    close(fd);
    return failed ? fail_errno(err, path, "sync the directory", e) : WD_OK;
}

static wd_status write_file(const char *path, const wd_span *parts, size_t n, mode_t mode, wd_err *err)
{
    char tmp[4096];
    if (snprintf(tmp, sizeof tmp, "%s.XXXXXX", path) >= (int)sizeof tmp)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", path);
    const int fd = wd_inject_here() ? (errno = EACCES, -1) : mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, path, "create a file beside it", errno);
    wd_status st = write_parts(fd, path, parts, n, err);
    if (!st && fchmod(fd, mode) < 0)
        st = fail_errno(err, path, "set the mode", errno);
    if (close(fd) < 0 && !st)
        st = fail_errno(err, path, "close", errno);
    if (!st && (wd_inject_here() ? (errno = EIO, true) : rename(tmp, path) < 0))
        st = fail_errno(err, path, "rename into place", errno);
    if (st)
        unlink(tmp);
    return st;
}

wd_status wd_file_write_parts(const char *path, const wd_span *parts, size_t n, wd_err *err)
{
    wd_err ignored;
    WD_TRY(write_file(path, parts, n, 0644, err));
    (void)(wd_file_sync_dir(path, &ignored) == WD_OK); /* whole it is anyway */
    return WD_OK;
}

wd_status wd_file_write(const char *path, wd_span bytes, wd_err *err)
{
    return wd_file_write_parts(path, &bytes, 1, err);
}

wd_status wd_file_write_secret(const char *path, wd_span bytes, wd_err *err)
{
    WD_TRY(write_file(path, &bytes, 1, 0600, err));
    return wd_file_sync_dir(path, err);
}

bool wd_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool wd_file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

wd_status wd_file_mkdirs(const char *path, wd_err *err)
{
    char part[4096];
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return WD_FAIL(err, WD_E_INVALID, "%s: no usable directory name", path);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return fail_errno(err, path, "create the directory", errno);
    }
    if (!wd_file_is_dir(path))
        return WD_FAIL(err, WD_E_INVALID, "%s: exists and is not a directory", path);
    return WD_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

wd_status wd_file_list(wd_arena *a, const char *dir, char ***names, size_t *n, wd_err *err)
{
    DIR *d = wd_inject_here() ? (errno = EIO, NULL) : opendir(dir);
    if (!d)
        return fail_errno(err, dir, "list", errno);
    wd_status st = WD_OK;
    wd_buf ptrs = { .max = (LIST_MAX + 1) * sizeof(char *) };
    size_t count = 0;
    for (const struct dirent *e; !st && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        char *name = wd_arena_strndup(a, e->d_name, strlen(e->d_name));
        wd_buf_put(&ptrs, &name, sizeof name);
        count++;
        if (!name || ptrs.failed)
            st = WD_FAIL(err, WD_E_LIMIT, "%s: too many entries to list (%zu)", dir, count);
    }
    closedir(d);
    char **list = st ? NULL : WD_NEW_N(a, char *, count + 1);
    if (!st && !list)
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %zu entries", dir, count);
    if (!st) {
        if (count)
            memcpy(list, ptrs.p, count * sizeof(char *));
        qsort(list, count, sizeof *list, by_bytes);
        *names = list;
        *n = count;
    }
    wd_buf_free(&ptrs);
    return st;
}

char *wd_path_join(wd_arena *a, const char *dir, const char *name)
{
    const size_t n = strlen(dir);
    return wd_arena_printf(a, n && dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

const char *wd_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
