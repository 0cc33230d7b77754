/* A small anti-aliased raster on a wd_image, for the synthetic videos: flat shapes in sRGB, painted one over another.
 *
 * Coordinates are pixels as doubles; (0, 0) is the top left corner of the top left pixel, so its centre is (0.5, 0.5).
 * Shapes may reach outside; what is outside is not drawn. An edge is soft over one pixel (area covered, by distance to
 * the edge). The same calls give the same bytes: only IEEE basic operations and sqrt are used here.
 */
#ifndef WD_CARE_PHANTOM_CANVAS_H
#define WD_CARE_PHANTOM_CANVAS_H

#include "base/image.h"

typedef struct wd_rgb {
    uint8_t r, g, b;
} wd_rgb;

typedef struct wd_point {
    double x, y;
} wd_point;

/* Between a (t 0) and b (t 1); t is cut to 0 .. 1. */
wd_rgb wd_rgb_mix(wd_rgb a, wd_rgb b, double t);

void wd_canvas_fill(wd_image *im, wd_rgb c);
/* From the top row to the bottom row of the rectangle. */
void wd_canvas_gradient(wd_image *im, double x, double y, double w, double h, wd_rgb top, wd_rgb bottom);
void wd_canvas_rect(wd_image *im, double x, double y, double w, double h, wd_rgb c);
/* radius is cut to half the shorter side. */
void wd_canvas_round_rect(wd_image *im, double x, double y, double w, double h, double radius, wd_rgb c);
void wd_canvas_disc(wd_image *im, wd_point c, double r, wd_rgb color);
/* Half axes rx, ry > 0, along x and y. */
void wd_canvas_ellipse(wd_image *im, wd_point c, double rx, double ry, wd_rgb color);
/* A circle's outline, `width` thick, its middle at r. */
void wd_canvas_ring(wd_image *im, wd_point c, double r, double width, wd_rgb color);
/* A limb: the hull of two discs, radius ra at a and rb at b. */
void wd_canvas_limb(wd_image *im, wd_point a, double ra, wd_point b, double rb, wd_rgb color);
/* Round ends. */
void wd_canvas_line(wd_image *im, wd_point a, wd_point b, double width, wd_rgb color);
/* Even-odd inside of a closed outline of n >= 3 points; more than WD_CANVAS_POLYGON_MAX are not drawn. */
#define WD_CANVAS_POLYGON_MAX 64
void wd_canvas_polygon(wd_image *im, const wd_point *p, size_t n, wd_rgb color);

#endif
