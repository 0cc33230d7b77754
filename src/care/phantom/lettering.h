/* Text on a picture, for the synthetic videos: FreeType's outlines, anti-aliased, unhinted.
 *
 * Fonts are files of Debian's packages fonts-dejavu-core (Latin) and fonts-wqy-microhei (Chinese), or of
 * fonts-droid-fallback where that is installed instead; all of them are taken from the folder that $WARD_FONTS names,
 * where it is set. Nothing is searched for: the same packages give the same pixels. The fonts are part of the system
 * and trusted, so FreeType runs in this process; it never sees a byte of a user.
 */
#ifndef WD_CARE_PHANTOM_LETTERING_H
#define WD_CARE_PHANTOM_LETTERING_H

#include "base/image.h"

/* All are bold. Characters that a Latin font does not have come from the Chinese one. */
typedef enum wd_letters { WD_LETTERS_SANS, WD_LETTERS_SERIF, WD_LETTERS_MONO, WD_LETTERS_N } wd_letters;

typedef struct wd_pen {
    wd_letters letters;
    uint32_t size_px; /* of the em square, 6 .. 400 */
    uint8_t rgb[3];
} wd_pen;

typedef struct wd_lettering wd_lettering;

/* dir: a folder that holds the font files; NULL: $WARD_FONTS, else Debian's places.
 *   WD_E_NOT_FOUND  a font is missing: names its file and the package that has it
 *   WD_E_CORRUPT    a file that is no font */
WD_MUST_CHECK wd_status wd_lettering_open(const char *dir, wd_lettering **out, wd_err *err);
void wd_lettering_close(wd_lettering *l); /* accepts NULL */

/* How wide one line is, in pixels. WD_E_UNSUPPORTED for a character that no font has. */
WD_MUST_CHECK wd_status wd_lettering_width(wd_lettering *l, const wd_pen *pen, wd_span text, double *width,
                                           wd_err *err);

/* Draws one line, its first character's origin at x on the base line y. What lies outside is not drawn. */
WD_MUST_CHECK wd_status wd_lettering_draw(wd_lettering *l, wd_image *im, double x, double y,
                                          const wd_pen *pen, wd_span text, wd_err *err);

#endif
