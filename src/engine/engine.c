/* What every engine shares. */
#include "engine/engine.h"

const char *wd_finish_name(wd_finish f)
{
    static const char *const names[] = { "stop", "length", "tool_calls" };
    return names[f];
}

void wd_engine_destroy(wd_engine *e)
{
    if (e)
        e->destroy(e->self);
}
