/* Kinds of files by their first bytes. */
#include "media/kind.h"

#include "media/archive.h"
#include "media/image.h"

static bool has(wd_span s, size_t at, const char *bytes, size_t n)
{
    return s.n >= at + n && memcmp(s.p + at, bytes, n) == 0;
}

/* MP4 and MOV (ISO/IEC 14496-12: a box's type follows its length), Matroska and WebM (RFC 8794), AVI (RIFF),
 * MPEG-2 streams (ISO/IEC 13818-1: a pack header, or packets of 188 bytes). */
static bool is_video(wd_span s)
{
    static const char *const boxes[] = { "ftyp", "moov", "mdat", "wide", "free", "skip" };
    for (size_t i = 0; i < WD_COUNT(boxes); i++)
        if (has(s, 4, boxes[i], 4))
            return true;
    return has(s, 0, "\x1a\x45\xdf\xa3", 4) || (has(s, 0, "RIFF", 4) && has(s, 8, "AVI ", 4)) ||
           has(s, 0, "\0\0\1\xba", 4) || (has(s, 0, "G", 1) && s.n > 188 && s.p[188] == 'G');
}

wd_media_kind wd_media_kind_of(wd_span head)
{
    if (has(head, 128, "DICM", 4)) /* first: its preamble may be that of a TIFF file */
        return WD_MEDIA_DICOM;
    if (wd_image_kind_of(head) != WD_IMAGE_KIND_UNKNOWN)
        return WD_MEDIA_IMAGE;
    if (wd_archive_is_zip(head))
        return WD_MEDIA_ZIP;
    return is_video(head) ? WD_MEDIA_VIDEO : WD_MEDIA_UNKNOWN;
}

const char *wd_media_kind_name(wd_media_kind k)
{
    static const char *const names[] = { "unknown", "image", "dicom", "zip", "video" };
    return names[k];
}
