/* Boxes that a model draws in words. */
#include "care/boxes.h"

#include "care/reply.h"

#define SCALE 1000.0 /* the model's units across a side */
#define BOXES_MAX 1000u

static bool take_box(const json_t *v, uint32_t width, uint32_t height, wd_arena *a, wd_box *out)
{
    const json_t *c = json_object_get(v, "bbox_2d"), *label = json_object_get(v, "label");
    double at[4];
    if (json_array_size(c) != 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        const json_t *n = json_array_get(c, i);
        at[i] = json_number_value(n);
        if (!json_is_number(n) || !(at[i] >= 0 && at[i] <= SCALE))
            return false;
    }
    if (at[0] > at[2] || at[1] > at[3])
        return false;
    const char *name = json_is_string(label) ? json_string_value(label) : "";
    *out = (wd_box){ wd_arena_strndup(a, name, strlen(name)), at[0] / SCALE * width, at[1] / SCALE * height,
                     at[2] / SCALE * width, at[3] / SCALE * height };
    return out->label != NULL;
}

wd_status wd_boxes_read(wd_span reply, uint32_t width, uint32_t height, wd_arena *a, wd_box **out, size_t *n,
                        size_t *n_bad, wd_err *err)
{
    *n = *n_bad = 0;
    json_t *v = wd_reply_json(reply, "[{", NULL);
    const size_t n_item = json_is_array(v) ? WD_MIN(json_array_size(v), BOXES_MAX) : json_is_object(v);
    *out = WD_NEW_N(a, wd_box, n_item);
    for (size_t i = 0; *out && i < n_item; i++) {
        const json_t *item = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_object_get(item, "bbox_2d"))
            continue;
        if (take_box(item, width, height, a, &(*out)[*n]))
            ++*n;
        else
            ++*n_bad;
    }
    json_decref(v);
    return *out ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "boxes: no memory");
}
