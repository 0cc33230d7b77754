/* How many threads compute well on this machine. */
#ifndef WD_BASE_CORES_H
#define WD_BASE_CORES_H

#include <sched.h>
#include <stddef.h>

/* Physical cores with at least one logical processor that this process may run on (sched_getaffinity), but no more than
 * its control group's share of time in whole processors (cpu.max of cgroup v2, of the group and those above it); >= 1.
 * Two threads on the two halves of one core share its multipliers and its path to memory, and threads beyond the share
 * are stopped for what is left of each period. */
unsigned wd_core_count(void);

/* The same of the system that /proc and /sys below `root` show ("" for this one's), and of the processors in
 * set[bytes]. One whose core is not told counts as a core. */
unsigned wd_core_count_below(const char *root, const cpu_set_t *set, size_t bytes);

#endif
