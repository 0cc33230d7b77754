#include "base/cores.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

enum { PATH = 4200 };

/* The file's first line, without its end; false when there is none. A file of /proc or /sys has no size to ask for. */
static bool first_line(const char *path, char *line, size_t n)
{
    FILE *f = fopen(path, "re");
    const bool got = f && fgets(line, (int)n, f);
    if (f)
        fclose(f);
    if (got)
        line[strcspn(line, "\n")] = 0;
    return got;
}

/* Whether a processor of set before cpu is on the same core. */
static bool core_is_known(const char *root, size_t cpu, const cpu_set_t *set, size_t bytes)
{
    static const char *const names[] = { "core_cpus_list",
                                         "thread_siblings_list" }; /* since Linux 5.3; before */
    char path[PATH], line[256] = "";
    for (size_t i = 0; i < WD_COUNT(names) && !line[0]; i++) {
        snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%zu/topology/%s", root, cpu, names[i]);
        if (!first_line(path, line, sizeof line))
            line[0] = 0;
    }
    for (char *p = line; *p >= '0' && *p <= '9';) { /* such as 0-1,64-65 */
        const size_t from = strtoul(p, &p, 10);
        const size_t to = *p == '-' ? strtoul(p + 1, &p, 10) : from;
        for (size_t other = from; other <= to && other < cpu; other++) {
            if (CPU_ISSET_S(other, bytes, set))
                return true;
        }
        p += *p == ',';
    }
    return false;
}

/* Whole processors that cpu.max of one group allows: at least 1; n_max when it sets no limit. */
static unsigned quota(const char *file, unsigned n_max)
{
    char line[64];
    unsigned long long us, period;
    if (!first_line(file, line, sizeof line) || sscanf(line, "%llu %llu", &us, &period) != 2 || period == 0)
        return n_max;
    const unsigned long long n = us / period;
    return n < 1 ? 1 : (unsigned)WD_MIN(n, (unsigned long long)n_max);
}

/* At most n: what this process's group and the groups above it allow. */
static unsigned within_quota(const char *root, unsigned n)
{
    char line[PATH], path[2 * PATH], *group = NULL;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f && !group && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "0::/", 4)) /* the unified hierarchy */
            group = line + 3;
    }
    if (f)
        fclose(f);
    while (group) {
        snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/cpu.max", root, group);
        n = WD_MIN(n, quota(path, n));
        if (!*group)
            break;
        *strrchr(group, '/') = 0; /* one above; "" is the topmost */
    }
    return n;
}

unsigned wd_core_count_below(const char *root, const cpu_set_t *set, size_t bytes)
{
    unsigned n = 0;
    for (size_t cpu = 0; cpu < bytes * 8; cpu++)
        n += CPU_ISSET_S(cpu, bytes, set) && !core_is_known(root, cpu, set, bytes);
    return within_quota(root, WD_MAX(n, 1u));
}

unsigned wd_core_count(void)
{
    cpu_set_t set[64] = { 0 }; /* 65,536 processors: the kernel refuses a set that is smaller than its own */
    if (sched_getaffinity(0, sizeof set, set))
        return 1;
    return wd_core_count_below("", set, sizeof set);
}
