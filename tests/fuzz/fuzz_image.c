/* Every image format on arbitrary bytes. The largest pictures are refused here, so that time goes into the code. */
#include <stdlib.h>

#include "media/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wd_image im = { 0 };
    wd_err err = { 0 };
    const wd_status st = wd_image_decode_here(wd_span_of(data, size), false, &im, &err);
    if (st && (im.rgb || !err.text[0] || err.code != st))
        abort(); /* a failure that leaves something behind or says nothing */
    if (!st && (!im.rgb || !im.width || !im.height))
        abort();
    wd_image_free(&im);
    return 0;
}
