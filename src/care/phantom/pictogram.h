/* Simple pictograms for the synthetic lessons, drawn with the canvas. */
#ifndef WD_CARE_PHANTOM_PICTOGRAM_H
#define WD_CARE_PHANTOM_PICTOGRAM_H

#include "care/phantom/canvas.h"

typedef enum wd_pictogram {
    WD_PICT_HAND,
    WD_PICT_DROP,
    WD_PICT_PILL,
    WD_PICT_GLASS,
    WD_PICT_CHAIR,
    WD_PICT_ARROW_UP,
    WD_PICT_ARROW_DOWN,
    WD_PICT_ARROW_RIGHT,
    WD_PICT_CLOCK,
    WD_PICT_INHALER,
    WD_PICT_SYRINGE,
    WD_PICT_CRUTCH,
    WD_PICT_PLASTER,
    WD_PICT_LEG,
    WD_PICT_HEART,
    WD_PICT_CUFF,
    WD_PICT_FOOT,
    WD_PICT_SHOE,
    WD_PICT_BED,
    WD_PICT_LAMP,
    WD_PICT_CHECK,
    WD_PICT_CROSS,
    WD_PICT_BIN,
    WD_PICT_SOAP,
    WD_PICT_MASK,
    WD_PICT_STAIRS,
    WD_PICT_PEN,
    WD_PICT_BELL,
    WD_PICT_MOUTH,
    WD_PICT_BOOK,
    WD_PICT_N
} wd_pictogram;

typedef struct wd_pictogram_ink {
    wd_rgb line, fill, skin, accent;
} wd_pictogram_ink;

/* Within the square of `side` pixels whose top left corner is (x, y). mirror: left and right exchanged. */
void wd_pictogram_draw(wd_image *im, wd_pictogram p, double x, double y, double side, bool mirror,
                       const wd_pictogram_ink *ink);

/* A cartoon face in the ellipse around c with half axes r and 1.2 r, hair included. mouth: how far open, 0 .. 1. */
typedef struct wd_face_look {
    wd_rgb skin, hair;
    bool long_hair, glasses;
} wd_face_look;
void wd_face_draw(wd_image *im, wd_point c, double r, double mouth, const wd_face_look *look);

#endif
