/* The DICOM reader on arbitrary bytes: header, then pixels, then what is drawn of them. Without the sandbox: a crash in
 * it would be one sentence about a file, and here is a finding. */
#include "media/dicom_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const wd_span bytes = wd_span_of(data, size);
    const wd_dicom_want want = { .pixels = true, .n_frame = 4 };
    wd_dicom *d = NULL;
    wd_err err;

    if (wd_dicom__read_here(bytes, NULL, &d, &err))
        return 0;
    const wd_dicom_info *i = wd_dicom_info_of(d);
    const bool large = (uint64_t)i->rows * i->cols > (1u << 20) ||
                       !i->has_pixels; /* slow, and no other code */
    wd_dicom_close(d);
    if (large || wd_dicom__read_here(bytes, &want, &d, &err))
        return 0;
    for (size_t k = 0; k < wd_dicom_n_pixels(d); k++) {
        wd_image im = { 0 };
        if (wd_dicom_render(d, k, NULL, &im, NULL, &err) == WD_OK)
            wd_image_free(&im);
    }
    wd_dicom_close(d);
    return 0;
}
