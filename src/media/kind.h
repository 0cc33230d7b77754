/* What a file is that somebody sends, by its first bytes and never by its name or what the sender says. */
#ifndef WD_MEDIA_KIND_H
#define WD_MEDIA_KIND_H

#include "base/buf.h"

typedef enum wd_media_kind {
    WD_MEDIA_UNKNOWN,
    WD_MEDIA_IMAGE, /* media/image.h */
    WD_MEDIA_DICOM, /* with its preamble: PS3.10, section 7.1 */
    WD_MEDIA_ZIP,   /* of a study, presumably */
    WD_MEDIA_VIDEO  /* a container that videos come in; whether there is one inside only a decoder can say */
} wd_media_kind;

/* 189 bytes are enough. */
wd_media_kind wd_media_kind_of(wd_span head);
const char *wd_media_kind_name(wd_media_kind k); /* "image", "dicom", "zip", "video", "unknown" */

#endif
