/* Names and paths of models, the memory they share, and loading by name. */
#include "cli/served.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/upstream.h"

#define ADAPTER_FILE "adapter_config.json"
#define PATH_TEXT 4096
#define MEMORY_SHARE 0.9 /* of what there is, where no option says how much */

struct wd_cli_served {
    wd_cli *cli;
    wd_cli_served_opts o;
    wd_machine *machine;
    wd_models *models;
    char *first;                      /* name */
    char path[PATH_TEXT];             /* of what is loaded; loads come one at a time */
    char name[WD_MODEL_NAME_MAX + 1]; /* the same */
};

/* What the control group (either version of them) or the machine has. */
static size_t memory_there_is(void)
{
    static const char *const limits[] = { "/sys/fs/cgroup/memory.max",
                                          "/sys/fs/cgroup/memory/memory.limit_in_bytes" };
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : 0;
    for (size_t i = 0; i < WD_COUNT(limits); i++) {
        char text[32] = "";
        FILE *f = fopen(limits[i], "re");
        const char *line = f ? fgets(text, sizeof text, f) : NULL;
        const unsigned long long max = line ? strtoull(line, NULL, 10) : 0; /* "max": 0 */
        if (max && (!bytes || max < bytes))
            bytes = (size_t)max;
        if (f)
            fclose(f);
    }
    return bytes;
}

static void close_runtime(void *self)
{
    wd_runtime_close(self);
}

static wd_served_opts opts_of(wd_runtime *r, const char *name, const char *base)
{
    return (wd_served_opts){ .name = name,
                             .base = base,
                             .engine = wd_runtime_engine(r),
                             .tokenizer = wd_runtime_tokenizer(r),
                             .close = close_runtime,
                             .self = r };
}

static wd_status add(wd_cli_served *s, wd_runtime *r, const char *name, const char *base, wd_err *err)
{
    const wd_served_opts o = opts_of(r, name, base);
    const wd_status st = wd_models_add(s->models, &o, false, err);
    if (st)
        wd_runtime_close(r);
    return st;
}

/* "NAME=PATH" in two; NULL as name for a PATH alone, which may have a '=' of its own where it exists. */
static wd_status split(wd_cli *cli, const char *arg, const char **name, const char **path, wd_err *err)
{
    const char *eq = strchr(arg, '=');
    *name = NULL;
    *path = arg;
    if (!eq || wd_cli_is_upstream(arg) || wd_file_exists(arg))
        return WD_OK;
    *path = eq + 1;
    *name = wd_arena_strndup(cli->arena, arg, (size_t)(eq - arg));
    return *name ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "models: no memory");
}

/* "models/demo-text/" is served as "demo-text". */
static const char *name_of(wd_cli *cli, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    const char *copy = wd_arena_strndup(cli->arena, path, n);
    return copy ? wd_path_base(copy) : "model";
}

static wd_status open_model(wd_cli_served *s, size_t i, wd_err *err)
{
    const char *name, *path;
    wd_model_args args = *s->o.args;
    wd_runtime *r;
    WD_TRY(split(s->cli, s->o.model->v[i], &name, &path, err));
    if (i == 0 && s->o.served_name)
        name = s->o.served_name;
    if (!name && !wd_cli_is_upstream(path))
        name = name_of(s->cli, path);
    args.model = path;
    args.machine = s->machine;
    args.name = name;
    if (i) {
        args.lora.n = 0;
        args.mmproj = NULL;
    }
    WD_TRY(wd_runtime_open(s->cli, &args, &r, err));
    if (!name)
        name = wd_runtime_remote_model(r);
    if (!i)
        s->first = wd_strdup(name);
    if (!s->first) {
        wd_runtime_close(r);
        return WD_FAIL(err, WD_E_NOMEM, "models: no memory");
    }
    return add(s, r, name, NULL, err);
}

static wd_status open_adapter(wd_cli_served *s, size_t i, wd_err *err)
{
    const char *name, *dir;
    wd_model_args args = *s->o.args;
    wd_runtime *r;
    WD_TRY(split(s->cli, s->o.adapter->v[i], &name, &dir, err));
    if (!name)
        name = name_of(s->cli, dir);
    args.machine = s->machine;
    args.name = name;
    const wd_served *base = wd_models_hold(s->models, wd_span_str(s->first), WD_MODEL_CHAT);
    const wd_status st = wd_runtime_open_adapter(&args, base->self, dir, &r, err);
    wd_models_release(s->models, base);
    return st ? st : add(s, r, name, s->first, err);
}

/* "ROLE=NAME" */
static wd_status give_role(wd_cli_served *s, const char *arg, wd_err *err)
{
    const char *eq = strchr(arg, '=');
    wd_model_role role;
    if (!eq || !wd_model_role_parse(wd_span_of(arg, (size_t)(eq - arg)), &role))
        return WD_FAIL(err, WD_E_USAGE, "--role: \"%s\", expected chat=NAME, embed=NAME or rerank=NAME", arg);
    const wd_served *there = eq[1] ? wd_models_hold(s->models, wd_span_str(eq + 1), role) : NULL;
    wd_models_release(s->models, there); /* looked for, not used */
    if (!there)
        return WD_FAIL(err, WD_E_USAGE, "--role %s: there is no model of that name", arg);
    return wd_models_assign(s->models, role, eq + 1, err);
}

static wd_status open_all(wd_cli_served *s, wd_err *err)
{
    const size_t bytes = s->o.memory_bytes ? s->o.memory_bytes
                                           : (size_t)((double)memory_there_is() * MEMORY_SHARE);
    WD_TRY(wd_machine_create((unsigned)s->o.args->threads, bytes, &s->machine, err));
    WD_TRY(wd_models_create(&s->models, err));
    for (size_t i = 0; i < s->o.model->n; i++)
        WD_TRY(open_model(s, i, err));
    for (size_t i = 0; i < s->o.adapter->n; i++)
        WD_TRY(open_adapter(s, i, err));
    for (size_t i = 0; i < s->o.role->n; i++)
        WD_TRY(give_role(s, s->o.role->v[i], err));
    return WD_OK;
}

wd_status wd_cli_served_open(wd_cli *cli, const wd_cli_served_opts *o, wd_cli_served **out, wd_err *err)
{
    *out = NULL;
    if (o->model->n == 0)
        return WD_FAIL(err, WD_E_USAGE, "no model: give -m DIR or FILE.gguf, or model = DIR in ward.ini");
    if (o->dir && !wd_file_is_dir(o->dir))
        return WD_FAIL(err, WD_E_NOT_FOUND, "--models-dir %s: no such directory", o->dir);
    wd_cli_served *s = WD_ALLOC(wd_cli_served);
    if (!s)
        return WD_FAIL(err, WD_E_NOMEM, "models: no memory");
    s->cli = cli;
    s->o = *o;
    const wd_status st = open_all(s, err);
    if (st) {
        wd_cli_served_close(s);
        return st;
    }
    *out = s;
    return WD_OK;
}

void wd_cli_served_close(wd_cli_served *s)
{
    if (!s)
        return;
    wd_models_destroy(s->models);
    wd_machine_destroy(s->machine);
    wd_free(s->first);
    wd_free(s);
}

/* ---- while the server runs ---- */

/* dir/NAME, or dir/NAME.gguf. A name is one part of a path, and does not begin with a dot. */
static wd_status find_path(wd_cli_served *s, const char *name, wd_err *err)
{
    const size_t n = strlen(name);
    if (n == 0 || n > WD_MODEL_NAME_MAX || name[0] == '.' || strchr(name, '/'))
        return WD_FAIL(err, WD_E_INVALID, "model is no name of an entry in the directory of models");
    static const char *const ends[] = { "", ".gguf" };
    for (size_t i = 0; i < WD_COUNT(ends); i++) {
        const int len = snprintf(s->path, sizeof s->path, "%s/%s%s", s->o.dir, name, ends[i]);
        if (len > 0 && (size_t)len < sizeof s->path && wd_file_exists(s->path) &&
            wd_file_is_dir(s->path) == (i == 0)) {
            memcpy(s->name, name, n + 1);
            return WD_OK;
        }
    }
    return WD_FAIL(err, WD_E_NOT_FOUND, "the directory of models has none of that name");
}

static bool is_adapter(const wd_cli_served *s)
{
    char file[PATH_TEXT + sizeof ADAPTER_FILE];
    snprintf(file, sizeof file, "%s/" ADAPTER_FILE, s->path);
    return wd_file_exists(file);
}

static wd_status load(void *self, const wd_load *what, wd_served_opts *out, wd_err *err)
{
    wd_cli_served *s = self;
    wd_model_args args = *s->o.args;
    wd_runtime *r;
    WD_TRY(find_path(s, what->name, err));
    const bool adapter = is_adapter(s);
    if (adapter != (what->base != NULL))
        return WD_FAIL(err, WD_E_INVALID,
                       adapter ? "the model is an adapter: base has to say of which loaded model"
                               : "base is for adapters, and the model is none");
    args.machine = s->machine;
    args.name = s->name;
    args.model = s->path;
    args.mmproj = NULL;
    args.lora.n = 0;
    args.kv_mb = what->kv_mb ? what->kv_mb : args.kv_mb;
    if (adapter)
        WD_TRY(wd_runtime_open_adapter(&args, what->base->self, s->path, &r, err));
    else
        WD_TRY(wd_runtime_open(s->cli, &args, &r, err));
    *out = opts_of(r, s->name, adapter ? what->base->name : NULL);
    return WD_OK;
}

void wd_cli_served_use(wd_cli_served *s, wd_serve_opts *so)
{
    so->models = s->models;
    so->load = s->o.dir ? load : NULL;
    so->load_self = s;
}

const char *wd_cli_served_name(const wd_cli_served *s)
{
    return s->first;
}
