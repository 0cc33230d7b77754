/* Which decoder answers to which id. A worker can run these functions and nothing else. */
#include "media/decoders.h"

#include "media/archive_inner.h"
#include "media/decode_test.h"
#include "media/dicom_inner.h"
#include "media/image.h"
#include "media/video_inner.h"

static const wd_decoder decoders[WD_DECODER_COUNT] = {
    [WD_DECODER_IMAGE] = { .name = "image", .decode = wd_decode_image },
    [WD_DECODER_VIDEO] = { .name = "video", .prepare = wd_video__open_charsets, .decode = wd_decode_video },
    [WD_DECODER_DICOM] = { .name = "DICOM", .prepare = wd_dicom__prepare, .decode = wd_decode_dicom },
    [WD_DECODER_ARCHIVE] = { .name = "archive", .prepare = wd_archive__prepare, .decode = wd_decode_archive },
    [WD_DECODER_TEST] = { .name = "test", .decode = wd_decode_test },
};

const wd_decoder *wd_decoder_get(uint32_t id)
{
    return id < WD_DECODER_COUNT ? &decoders[id] : NULL;
}
