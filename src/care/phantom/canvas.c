/* Every shape is a signed distance to its edge (> 0 inside), looked at only in the shape's own box; the polygon alone
 * is filled by scan lines, four to a pixel with exact horizontal cover. */
#include "care/phantom/canvas.h"

#include <math.h>

#define SUB 4 /* scan lines per row of a polygon */

typedef struct box {
    uint32_t x0, y0, x1, y1; /* pixels, x1 and y1 excluded */
} box;

static uint32_t clip(double v, uint32_t max)
{
    return v > 0 ? v < max ? (uint32_t)v : max : 0; /* NaN: 0 */
}

static box box_of(const wd_image *im, double x0, double y0, double x1, double y1)
{
    return (box){ clip(floor(x0 - 1), im->width), clip(floor(y0 - 1), im->height),
                  clip(ceil(x1 + 1), im->width), clip(ceil(y1 + 1), im->height) };
}

static void blend(uint8_t *p, wd_rgb c, double a)
{
    if (a <= 0)
        return;
    if (a >= 1) {
        p[0] = c.r;
        p[1] = c.g;
        p[2] = c.b;
        return;
    }
    p[0] = (uint8_t)(p[0] + a * (c.r - p[0]) + 0.5);
    p[1] = (uint8_t)(p[1] + a * (c.g - p[1]) + 0.5);
    p[2] = (uint8_t)(p[2] + a * (c.b - p[2]) + 0.5);
}

static uint8_t *pixel(const wd_image *im, uint32_t x, uint32_t y)
{
    return im->rgb + 3 * ((size_t)y * im->width + x);
}

wd_rgb wd_rgb_mix(wd_rgb a, wd_rgb b, double t)
{
    uint8_t p[3] = { a.r, a.g, a.b };
    blend(p, b, t);
    return (wd_rgb){ p[0], p[1], p[2] };
}

/* Part of [i, i + 1) that lies in [lo, hi). */
static double overlap(double lo, double hi, uint32_t i)
{
    return fmax(0, fmin(hi, i + 1.0) - fmax(lo, (double)i));
}

void wd_canvas_gradient(wd_image *im, double x, double y, double w, double h, wd_rgb top, wd_rgb bottom)
{
    const box b = box_of(im, x, y, x + w, y + h);
    for (uint32_t j = b.y0; j < b.y1; j++) {
        const double v = overlap(y, y + h, j);
        const wd_rgb c = wd_rgb_mix(top, bottom, h > 1 ? (j + 0.5 - y) / h : 0);
        for (uint32_t i = b.x0; v > 0 && i < b.x1; i++)
            blend(pixel(im, i, j), c, v * overlap(x, x + w, i));
    }
}

void wd_canvas_rect(wd_image *im, double x, double y, double w, double h, wd_rgb c)
{
    wd_canvas_gradient(im, x, y, w, h, c, c);
}

void wd_canvas_fill(wd_image *im, wd_rgb c)
{
    wd_canvas_rect(im, 0, 0, im->width, im->height, c);
}

void wd_canvas_round_rect(wd_image *im, double x, double y, double w, double h, double radius, wd_rgb c)
{
    const double r = fmax(0, fmin(radius, fmin(w, h) / 2));
    const double cx = x + w / 2, cy = y + h / 2;
    const box b = box_of(im, x, y, x + w, y + h);
    for (uint32_t j = b.y0; j < b.y1; j++) {
        for (uint32_t i = b.x0; i < b.x1; i++) {
            const double dx = fabs(i + 0.5 - cx) - (w / 2 - r), dy = fabs(j + 0.5 - cy) - (h / 2 - r);
            const double out = sqrt(fmax(dx, 0) * fmax(dx, 0) + fmax(dy, 0) * fmax(dy, 0));
            blend(pixel(im, i, j), c, 0.5 + r - (out + fmin(fmax(dx, dy), 0)));
        }
    }
}

void wd_canvas_limb(wd_image *im, wd_point a, double ra, wd_point b, double rb, wd_rgb color)
{
    const double dx = b.x - a.x, dy = b.y - a.y, len2 = dx * dx + dy * dy, len = sqrt(len2);
    const box at = box_of(im, fmin(a.x - ra, b.x - rb), fmin(a.y - ra, b.y - rb), fmax(a.x + ra, b.x + rb),
                          fmax(a.y + ra, b.y + rb));
    /* The hull's straight sides lean by this slope: the foot of the shortest way is moved along the axis. */
    const double lean = len > fabs(ra - rb) ? (ra - rb) / sqrt(len2 - (ra - rb) * (ra - rb)) : 0;
    for (uint32_t j = at.y0; j < at.y1; j++) {
        for (uint32_t i = at.x0; i < at.x1; i++) {
            const double px = i + 0.5 - a.x, py = j + 0.5 - a.y;
            double t = ra >= rb ? 0 : 1;
            if (len > fabs(ra - rb)) {
                const double along = (px * dx + py * dy) / len, off = fabs(px * dy - py * dx) / len;
                t = fmin(fmax((along - lean * off) / len, 0), 1);
            }
            const double ex = px - t * dx, ey = py - t * dy;
            blend(pixel(im, i, j), color, 0.5 + ra + t * (rb - ra) - sqrt(ex * ex + ey * ey));
        }
    }
}

void wd_canvas_disc(wd_image *im, wd_point c, double r, wd_rgb color)
{
    wd_canvas_limb(im, c, r, c, r, color);
}

void wd_canvas_ring(wd_image *im, wd_point c, double r, double width, wd_rgb color)
{
    const double reach = r + width / 2;
    const box b = box_of(im, c.x - reach, c.y - reach, c.x + reach, c.y + reach);
    for (uint32_t j = b.y0; j < b.y1; j++) {
        for (uint32_t i = b.x0; i < b.x1; i++) {
            const double dx = i + 0.5 - c.x, dy = j + 0.5 - c.y;
            blend(pixel(im, i, j), color, 0.5 + width / 2 - fabs(sqrt(dx * dx + dy * dy) - r));
        }
    }
}

void wd_canvas_ellipse(wd_image *im, wd_point c, double rx, double ry, wd_rgb color)
{
    const box b = box_of(im, c.x - rx, c.y - ry, c.x + rx, c.y + ry);
    for (uint32_t j = b.y0; j < b.y1; j++) {
        for (uint32_t i = b.x0; i < b.x1; i++) {
            const double u = (i + 0.5 - c.x) / rx, v = (j + 0.5 - c.y) / ry, q = sqrt(u * u + v * v);
            const double slope = sqrt(u * u / (rx * rx) + v * v / (ry * ry)); /* first order distance */
            blend(pixel(im, i, j), color, slope > 0 ? 0.5 + (1 - q) * q / slope : 1);
        }
    }
}

void wd_canvas_line(wd_image *im, wd_point a, wd_point b, double width, wd_rgb color)
{
    wd_canvas_limb(im, a, width / 2, b, width / 2, color);
}

/* Where the outline crosses the height y, sorted. */
static size_t crossings(const wd_point *p, size_t n, double y, double out[WD_CANVAS_POLYGON_MAX])
{
    size_t found = 0;
    for (size_t i = 0, j = n - 1; i < n; j = i++) {
        if ((p[i].y > y) == (p[j].y > y))
            continue;
        const double x = p[i].x + (y - p[i].y) * (p[j].x - p[i].x) / (p[j].y - p[i].y);
        size_t k = found++;
        for (; k > 0 && out[k - 1] > x; k--)
            out[k] = out[k - 1];
        out[k] = x;
    }
    return found;
}

void wd_canvas_polygon(wd_image *im, const wd_point *p, size_t n, wd_rgb color)
{
    if (n < 3 || n > WD_CANVAS_POLYGON_MAX)
        return;
    double lo[2] = { p[0].x, p[0].y }, hi[2] = { p[0].x, p[0].y };
    for (size_t i = 1; i < n; i++) {
        lo[0] = fmin(lo[0], p[i].x), hi[0] = fmax(hi[0], p[i].x);
        lo[1] = fmin(lo[1], p[i].y), hi[1] = fmax(hi[1], p[i].y);
    }
    const box b = box_of(im, lo[0], lo[1], hi[0], hi[1]);
    for (uint32_t j = b.y0; j < b.y1; j++) {
        double x[SUB][WD_CANVAS_POLYGON_MAX];
        size_t n_x[SUB];
        for (int s = 0; s < SUB; s++)
            n_x[s] = crossings(p, n, j + (s + 0.5) / SUB, x[s]);
        for (uint32_t i = b.x0; i < b.x1; i++) {
            double cover = 0;
            for (int s = 0; s < SUB; s++)
                for (size_t k = 0; k + 1 < n_x[s]; k += 2)
                    cover += overlap(x[s][k], x[s][k + 1], i) / SUB;
            blend(pixel(im, i, j), color, cover);
        }
    }
}
