/* Where Ward's own data files are. */
#include "cli/data.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"

static const char *beside_program(wd_arena *a)
{
    char exe[4096];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0)
        return NULL;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (!slash)
        return NULL;
    *slash = 0;
    return wd_arena_printf(a, "%s/../share/ward", exe);
}

wd_status wd_data_find(wd_cli *cli, const char *name, const char **out, wd_err *err)
{
    const char *const roots[] = { wd_env("WARD_DATA"), beside_program(cli->arena), WARD_SOURCE_DIR };
    for (size_t i = 0; i < WD_COUNT(roots); i++) {
        const char *path = roots[i] ? wd_path_join(cli->arena, roots[i], name) : NULL;
        if (path && wd_file_exists(path)) {
            *out = path;
            return WD_OK;
        }
    }
    return WD_FAIL(err, WD_E_NOT_FOUND, "%s is neither under $WARD_DATA nor under %s nor in %s", name,
                   roots[1] ? roots[1] : "the program", WARD_SOURCE_DIR);
}
