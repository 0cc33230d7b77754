/* Golden cases. */
#include "golden.h"

#include <stdio.h>

#include "base/digest.h"

json_t *golden_load(void)
{
    char path[512];
    json_t *doc = NULL;
    snprintf(path, sizeof path, "%s/golden/vision/cases.json", test_data_dir());
    assert_ok(wd_json_read_file(path, 4u << 20, &doc, &err));
    return doc;
}

wd_image golden_picture(uint32_t seed, uint32_t width, uint32_t height)
{
    wd_image im = { 0 };
    assert_ok(wd_image_init(&im, width, height, &err));
    uint8_t *p = im.rgb;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            for (uint32_t c = 0; c < 3; c++) {
                uint32_t noise = (x * 73856093u) ^ (y * 19349663u) ^ ((c + seed) * 83492791u);
                noise = (noise ^ (noise >> 13)) * 2654435761u >> 24;
                *p++ = (uint8_t)(((x >> 4) ^ (y >> 4)) & 1 ? noise : (x * 3 + y * 2 + c * 40) & 255);
            }
        }
    }
    return im;
}

int64_t golden_int(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) && !json_is_boolean(v))
        fail_msg("golden: %s is no integer", key);
    return json_is_boolean(v) ? json_is_true(v) : json_integer_value(v);
}

double golden_num(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v))
        fail_msg("golden: %s is no number", key);
    return json_number_value(v);
}

const char *golden_str(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_string(v))
        fail_msg("golden: %s is no string", key);
    return json_string_value(v);
}

void golden_check(const void *bytes, size_t n, const char *hex, const char *what)
{
    wd_digest d;
    char got[65];
    wd_digest_of(wd_span_of(bytes, n), &d);
    wd_digest_hex(&d, got);
    if (strcmp(got, hex) != 0)
        fail_msg("%s: digest %s, wanted %s", what, got, hex);
}
