/* Decodes images through the sandbox and prints one line each: path, width, height, BLAKE2b-256 of the pixels; or
 * path, "-", status and sentence. For tools/compare/images.py. With --resize W H before a path: the picture resized.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "media/image.h"
#include "vision/resize.h"

int main(int argc, char **argv)
{
    wd_image_opts opts = { 0 };
    uint32_t to[2] = { 0 };
    wd_err err;

    if (wd_sandbox_start(&err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        wd_image im = { 0 };
        if (!strcmp(argv[i], "--keep")) {
            opts.keep_orientation = true;
            continue;
        }
        if (!strcmp(argv[i], "--resize") && i + 2 < argc) {
            to[0] = (uint32_t)strtoul(argv[++i], NULL, 10);
            to[1] = (uint32_t)strtoul(argv[++i], NULL, 10);
            continue;
        }
        wd_status st = wd_image_open(argv[i], &opts, &im, &err);
        if (!st && to[0]) {
            wd_image out = { 0 };
            st = wd_resize_image(&im, to[0], to[1], &out, &err);
            wd_image_free(&im);
            im = out;
            to[0] = 0;
        }
        if (st) {
            printf("%s\t-\t%s\t%s\n", argv[i], wd_status_name(st), err.text);
            continue;
        }
        wd_digest d;
        char hex[65];
        wd_digest_of(wd_span_of(im.rgb, (size_t)im.width * im.height * 3), &d);
        wd_digest_hex(&d, hex);
        printf("%s\t%u\t%u\t%s\n", argv[i], im.width, im.height, hex);
        wd_image_free(&im);
    }
    wd_sandbox_stop();
    return 0;
}
