/* A file layer for SQLite that fails when told to: "test". Under it lies the system's own.
 *
 * Two ways of failing:
 *  - one operation: every write, sync, truncation and opening is an injection point of wd_inject_failure (base/mem.h); the
 *    one that is hit fails with `full` ? a full disk : a write error.
 *  - power loss: from operation crash_at on nothing more reaches the files, and what was written since the last sync of
 *    each file is taken back (lose) or kept.
 * One thread at a time may set it.
 */
#ifndef WD_TESTS_SUPPORT_VFS_H
#define WD_TESTS_SUPPORT_VFS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct test_vfs {
    bool full;         /* injected writes fail with SQLITE_FULL */
    uint64_t crash_at; /* 0: never */
    bool lose;         /* at the crash, unsynced bytes are lost */
    /* told */
    uint64_t ops;      /* writes, syncs, truncations since test_vfs_reset */
    uint64_t unsynced; /* writes to any file since its last sync */
    bool dead;         /* the crash has come */
} test_vfs;

extern test_vfs test_vfs_state;

/* Registers "test" once and sets the state to {0}. No file of the layer may be open. */
void test_vfs_reset(void);

#endif
